"""The licence file: an EdDSA JWT in one line, signed with an Ed25519 key, verified by its public half.

Claims: ``aud`` always ``trimtab-licence``; ``sub`` the organization, or ``*``; ``exp`` and ``iat`` in Unix seconds;
``cores`` and ``nodes`` whole numbers, left out where there is no limit.
"""

import base64
import binascii
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_private_key, load_pem_public_key
from jwt.types import Options
from pydantic import ValidationError

from reconciler.errors import InputError
from reconciler.model.licence import Licence
from reconciler.settings import Settings

AUDIENCE = "trimtab-licence"
LONGEST = 64 * 1024
"""Bytes of a licence or key file that are read."""

_ALGORITHM = "EdDSA"
_RAW_KEY_BYTES = 32
# Whether it has expired is asked at each request, by the server's clock; here it must only say when it does.
_CLAIMS: Options = {"verify_exp": False, "verify_iat": False, "require": ["exp", "sub", "aud"]}
_KEY_HINT = "set TRIMTAB_LICENCE_KEY to the Ed25519 public key: a PEM file, or the key in base64"


def sign(licence: Licence, key: Path, now: datetime) -> str:
    """A licence as its file holds it, without a line end.

    :raises InputError: when ``key`` is no Ed25519 private key in PEM without a passphrase.
    """
    limits = {"cores": licence.cores, "nodes": licence.nodes}
    claims: dict[str, Any] = {
        "aud": AUDIENCE,
        "sub": licence.organization,
        "iat": int(now.timestamp()),
        "exp": int(licence.expires_at.timestamp()),
        **{name: limit for name, limit in limits.items() if limit is not None},
    }
    return jwt.encode(claims, _private_key(key), algorithm=_ALGORITHM)


def read_licence(file: Path, key: Ed25519PublicKey) -> Licence:
    """What a licence file allows; it may have expired.

    :raises InputError: naming the file, when it cannot be read, is none, or was signed with another key.
    """
    text = _read(file, "licence").decode("ascii", "replace").strip()
    try:
        claims = jwt.decode(text, key, algorithms=[_ALGORITHM], audience=AUDIENCE, options=_CLAIMS)
    except jwt.InvalidSignatureError:
        raise InputError(
            f"the licence {file} was not signed with the key that belongs to TRIMTAB_LICENCE_KEY",
            hint="take the public key that the licence came with, or ask for the licence again",
        ) from None
    except (jwt.InvalidTokenError, ValueError, TypeError) as error:
        raise _no_licence(file, str(error)) from None
    return _licence(claims, file)


def _licence(claims: dict[str, Any], file: Path) -> Licence:
    try:
        return Licence.model_validate(
            {
                "organization": claims["sub"],
                "expires_at": datetime.fromtimestamp(claims["exp"], UTC),
                "cores": claims.get("cores"),
                "nodes": claims.get("nodes"),
            },
            strict=True,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise _no_licence(file, f"{first['loc'][0]}: {first['msg'].lower()}") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise _no_licence(file, f"exp: {error}") from None


def _no_licence(file: Path, reason: str) -> InputError:
    words = reason.rstrip(".").lower()
    return InputError(f"{file} is no licence: {words}", hint="`trimtab licence create` makes one; put its output there")


def licence_key(settings: Settings) -> Ed25519PublicKey:
    """The public key of ``TRIMTAB_LICENCE_KEY``: a PEM file, its text, or base64 of the PEM, the DER or the 32 bytes.

    :raises InputError: when there is none, or it is no Ed25519 public key.
    """
    given = settings.licence_key.strip()
    if not given:
        raise InputError("TRIMTAB_LICENCE is set, and TRIMTAB_LICENCE_KEY is not", hint=_KEY_HINT)
    try:
        key = _public_key(_key_bytes(given))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError("TRIMTAB_LICENCE_KEY is no Ed25519 public key", hint=_KEY_HINT)
    return key


def _key_bytes(given: str) -> bytes:
    if given.startswith("-----BEGIN"):
        return given.encode()
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return _read(Path(given), "key of TRIMTAB_LICENCE_KEY")


def _public_key(given: bytes) -> object:
    if given.lstrip().startswith(b"-----BEGIN"):
        return load_pem_public_key(given)
    if len(given) == _RAW_KEY_BYTES:
        return Ed25519PublicKey.from_public_bytes(given)
    return load_der_public_key(given)


def _private_key(file: Path) -> Ed25519PrivateKey:
    hint = "`openssl genpkey -algorithm ed25519` makes one"
    try:
        key = load_pem_private_key(_read(file, "private key"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError(f"{file} is no private key in PEM without a passphrase", hint=hint) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{file} is a key of another kind than Ed25519", hint=hint)
    return key


def _read(file: Path, what: str) -> bytes:
    """:raises InputError: when it is not there, may not be read, or is far too large."""
    try:
        with file.open("rb") as handle:
            found = handle.read(LONGEST + 1)
    except OSError as error:
        said = (error.strerror or "unknown error").lower()
        raise InputError(
            f"the {what} {file} cannot be read: {said}", hint="give the path of a file that is there"
        ) from None
    if len(found) > LONGEST:
        raise InputError(f"the {what} {file} is over {LONGEST // 1024} KiB", hint="give the path of another file")
    return found
