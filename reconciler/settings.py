"""Settings: environment variables (``TRIMTAB_…``), over which the command line's options win (DESIGN §11)."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _default_state_dir() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "trimtab"


class Settings(BaseSettings):
    """Every setting, each with the environment variable ``TRIMTAB_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="TRIMTAB_", extra="ignore", frozen=True)

    fleet: str = Field(default="", description="Fleet repo: a path or any Git URL; several are separated by commas.")
    database_url: SecretStr = Field(
        default=SecretStr(""), description="Database; default is an SQLite file under the state directory."
    )
    state_dir: Path = Field(default_factory=_default_state_dir, description="Clones, builds and the SQLite database.")
    git_username: str = Field(default="", description="User name for a fleet repo behind http or https.")
    git_password: SecretStr = Field(
        default=SecretStr(""), description="Password or token for a fleet repo behind http or https."
    )

    secret_key: SecretStr = Field(
        default=SecretStr(""),
        description="Signs agents' tokens and cursors; default is a random one, kept in the state directory. "
        "Several servers on one database need the same.",
    )
    jwt_secret: SecretStr = Field(default=SecretStr(""), description="Verifies users' JWTs that are signed with HS256.")
    jwks_url: str = Field(default="", description="Verifies users' JWTs by the keys that this URL lists.")
    rate_limit: str = Field(
        default="600/minute", description="Requests that one key, user or agent may make; 429 beyond it."
    )
    recommendations_rate_limit: str = Field(
        default="100/minute", description="The same for the Recommendations API, which has a limit of its own."
    )
    prometheus_url: str = Field(
        default="",
        description="Prometheus, or a server with its API, that `serve` keeps the usage history from; default is what agents push.",
    )
    prometheus_token: SecretStr = Field(default=SecretStr(""), description="Bearer token for that Prometheus.")
    prometheus_cluster_label: str = Field(
        default="cluster",
        description="Label that says which cluster a series is of, by name or id; series without it are the only cluster's.",
    )
    lxc_rate_limit: str = Field(
        default="120/minute", description="The same for the LXC API, which has a limit of its own."
    )
    proxmox_url: str = Field(
        default="", description="Proxmox VE, as https://pve.example.com:8006; without it the LXC API answers 500."
    )
    proxmox_token: SecretStr = Field(
        default=SecretStr(""), description="API token of Proxmox VE, as user@realm!name=secret."
    )
    proxmox_verify: str = Field(
        default="true",
        description="Verify the certificate of Proxmox VE: true, false, or the path of a CA file.",
    )
    licence: Path | None = Field(
        default=None,
        description="Licence file of the Actions API (402 when it is expired or exceeded); default is no limit.",
    )
    licence_key: str = Field(
        default="", description="Ed25519 public key (PEM file, or its base64) that the licence is verified by."
    )
    log_format: Literal["text", "json"] = Field(default="text", description="How the server writes its log.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="From which level on the server writes its log."
    )

    @property
    def fleets(self) -> tuple[str, ...]:
        """The fleet repos, in the order given."""
        return tuple(part.strip() for part in self.fleet.split(",") if part.strip())

    @property
    def database(self) -> str:
        """The database URL that is in force."""
        given = self.database_url.get_secret_value()
        return given or f"sqlite:///{self.state_dir / 'trimtab.sqlite3'}"
