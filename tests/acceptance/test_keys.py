"""`trimtab key`, as a user calls it."""

import re
from pathlib import Path

import pytest

from support.fleets import FleetRepo

NEVER = re.compile(r"tt_live_[0-9A-Za-z]{32}")


@pytest.fixture
def home(tmp_path: Path, database_url: str) -> FleetRepo:
    repo = FleetRepo(home=tmp_path, work=tmp_path / "work", bare=tmp_path / "fleet.git")
    repo.env = {"TRIMTAB_DATABASE_URL": database_url}
    return repo


def create(home: FleetRepo, *words: str) -> str:
    return home.trimtab("key", "create", "--org", "acme", "--name", "ci", *words, code=0).out.strip()


def test_a_key_is_made_shown_once_listed_and_revoked(home: FleetRepo) -> None:
    made = home.trimtab(
        *("key", "create", "--org", "acme", "--name", "build server", "--cluster", "prod", "--cluster", "stage"),
        *("--scope", "scaling:write", "--scope", "agents:register", "--scope", "scaling:write"),
        code=0,
    )
    assert NEVER.fullmatch(made.out.strip())
    assert made.out == made.out.strip() + "\n"
    assert "X-API-Key" in made.err
    assert not NEVER.search(made.err)
    (entry,) = home.trimtab("key", "list", "--json", code=0).json()
    assert set(entry) == {"id", "org", "name", "prefix", "scopes", "clusters", "created", "revoked"}
    assert entry["org"] == "acme"
    assert entry["name"] == "build server"
    assert made.out.startswith(entry["prefix"])
    assert len(entry["prefix"]) < 16
    assert entry["scopes"] == ["scaling:write", "agents:register"]
    assert entry["clusters"] == ["prod", "stage"]
    assert entry["revoked"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["created"])
    assert home.trimtab("key", "revoke", entry["id"], code=0).out == f"{entry['id']} is revoked.\n"
    assert "was revoked before" in home.trimtab("key", "revoke", entry["id"], code=0).out
    assert home.trimtab("key", "list", "--json", code=0).json()[0]["revoked"] is not None


def test_the_list_is_for_people_too_and_of_one_organization(home: FleetRepo) -> None:
    assert "no keys yet: `trimtab key create`" in home.trimtab("key", "list", code=0).out
    create(home, "--scope", "admin")
    home.trimtab("key", "create", "--org", "other", "--name", "theirs", "--scope", "lxc:read", code=0)
    both = home.trimtab("key", "list", code=0).out
    assert "ci" in both
    assert "theirs" in both
    assert "all" in both
    assert not NEVER.search(both)
    ours = home.trimtab("key", "list", "--org", "acme", code=0).out
    assert "theirs" not in ours
    assert "no keys of nobody yet" in home.trimtab("key", "list", "--org", "nobody", code=0).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--org", "acme", "--name", "x", "--scope", "scaling:wirte"),
            r"no scope 'scaling:wirte'\n.*scaling:write.*admin",
        ),
        (("--org", "a b", "--name", "x", "--scope", "admin"), "--org: 'a b' is no name"),
        (("--org", "acme", "--name", " ", "--scope", "admin"), "--name: give a name"),
        (("--org", "acme", "--name", "x", "--scope", "admin", "--cluster", ""), "--cluster: '' is no name"),
        (("--org", "acme", "--name", "x"), "--scope"),
    ],
)
def test_what_is_wrong_is_named_and_no_key_is_made(home: FleetRepo, words: tuple[str, ...], said: str) -> None:
    ran = home.trimtab("key", "create", *words, code=1)
    assert re.search(said, ran.err)
    assert ran.out == ""
    assert home.trimtab("key", "list", "--json", code=0).json() == []


def test_an_unknown_id_is_an_error_with_the_next_step(home: FleetRepo) -> None:
    ran = home.trimtab("key", "revoke", "key_unknown", code=1)
    assert "there is no key key_unknown" in ran.err
    assert "trimtab key list" in ran.err


def test_the_key_itself_is_not_stored(tmp_path: Path) -> None:
    home = FleetRepo(home=tmp_path, work=tmp_path / "work", bare=tmp_path / "fleet.git")
    secret = create(home, "--scope", "admin")
    stored = b"".join(file.read_bytes() for file in (tmp_path / "state").iterdir())
    assert secret.encode()[:12] in stored, "how it begins is, so that people can tell it"
    assert secret.encode() not in stored


def test_every_command_has_an_example(home: FleetRepo) -> None:
    for name in ("create", "list", "revoke"):
        assert f"trimtab key {name}" in home.trimtab("key", name, "--help", code=0).out
