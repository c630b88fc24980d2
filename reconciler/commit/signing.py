"""Signed commits: fast-import cannot sign, so the commit object is made again over the same tree by commit-tree."""

import os
from pathlib import Path

from reconciler.commit.client import Client
from reconciler.commit.failures import said
from reconciler.errors import RetryLater, Stalled
from reconciler.model.fleet import Author, Signing

_SECONDS = 60.0
_LITERAL = ("key::", "ssh-", "ecdsa-", "sk-")


def signed_commit(
    client: Client, signing: Signing, *, tree: str, parent: str, message: str, author: Author, seconds: int
) -> str:
    """The id of a signed commit of ``tree`` on ``parent``; author and committer time is ``seconds``.

    :raises Stalled: when the key is not there, or ssh-keygen or gpg refuse it.
    """
    key = _key(signing)
    config = {"gpg.format": "ssh" if signing.format == "ssh" else "openpgp", "user.signingKey": key}
    try:
        done = client.run(
            "commit-tree", "-S", tree, "-p", parent, "-F", "-",
            stdin=message.encode(), env=_environment(author, seconds), config=config, seconds=_SECONDS,
        )  # fmt: skip
    except RetryLater:
        raise _refused(signing, f"no signature within {_SECONDS:.0f} s; a passphrase may be asked for") from None
    if done.status:
        raise _refused(signing, said(done.err))
    return done.out.decode().strip()


def _key(signing: Signing) -> str:
    if signing.format == "gpg" or signing.key.startswith(_LITERAL):
        return signing.key
    path = Path(signing.key).expanduser()
    try:
        present = path.is_file()
    except PermissionError:
        present = False
    if not present:
        raise Stalled(
            f"cannot sign commits: there is no signing key {path}",
            hint="mount the key there, or correct delivery.sign.key in trimtab.yaml",
        )
    return str(path.absolute())


def _refused(signing: Signing, words: str) -> Stalled:
    needs = {
        "ssh": "it must be a private ssh key without passphrase (or its public half, with the key in an ssh-agent), chmod 600",
        "gpg": "it must be the fingerprint of a secret key in GNUPGHOME that needs no passphrase",
    }
    return Stalled(
        f"cannot sign commits with the {signing.format} key {signing.key}: {words}", hint=needs[signing.format]
    )


def _environment(author: Author, seconds: int) -> dict[str, str]:
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", author.name), ("EMAIL", author.email), ("DATE", f"@{seconds} +0000"))
    }
    # HOME is private to this process; the keyring is where the user that runs Trimtab has it.
    return who | {"GNUPGHOME": os.environ.get("GNUPGHOME") or str(Path.home() / ".gnupg"), "SSH_ASKPASS": ""}
