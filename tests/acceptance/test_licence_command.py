"""`trimtab licence`, as who makes licences and who runs a server call it."""

import json
import subprocess
from pathlib import Path

import pytest

from support.fleets import FleetRepo
from support.small import small_fleet

MAKE = ("licence", "create", "--key", "private.pem")


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> FleetRepo:
    """A fleet repo of acme's whose cluster has two nodes of four cores, and a pair of keys beside it."""
    home = tmp_path_factory.mktemp("licence")
    made = small_fleet(home)
    openssl(home, "genpkey", "-algorithm", "ed25519", "-out", "private.pem")
    openssl(home, "pkey", "-in", "private.pem", "-pubout", "-out", "public.pem")
    nodes = [{"name": name, "ready": True, "cpuCapacityMillicores": 4000} for name in ("a", "b")]
    body = {"timestamp": made.now, "cluster": "prod", "nodes": nodes}
    (home / "push.json").write_text(json.dumps(body))
    made.trimtab("usage", "import", "push.json", code=0)
    made.env = {"TRIMTAB_LICENCE": "licence.jwt", "TRIMTAB_LICENCE_KEY": "public.pem"}
    return made


def openssl(home: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=home, check=True, capture_output=True)


def put(repo: FleetRepo, *words: str) -> str:
    """Make a licence and put it where the server looks; what was said about it."""
    made = repo.at(*MAKE, *words, code=0)
    (repo.home / "licence.jwt").write_text(made.out)
    return made.err


def shown(repo: FleetRepo, now: str | None = None) -> dict[str, object]:
    found: dict[str, object] = repo.at("licence", "show", "--json", code=0, now=now).json()
    return found


def test_a_licence_is_made_and_shown_with_how_much_of_it_is_used(repo: FleetRepo) -> None:
    said = put(repo, "--org", "acme", "--cores", "8", "--nodes", "1", "--expires", "2026-12-31")
    assert said == "A licence for acme until 2027-01-01 00:00 UTC, 8 cores and 1 node.\n"
    found = shown(repo)
    assert found["licence"] == {
        "file": "licence.jwt",
        "organization": "acme",
        "expires": "2027-01-01T00:00:00Z",
        "cores": 8,
        "nodes": 1,
    }
    assert found["organization"] == "acme"
    assert found["inUse"] == {"cores": 8.0, "nodes": 2}
    assert str(found["refusal"]).startswith("the licence allows 1 node, 2 are in use: ")
    told = repo.at("licence", "show", code=0).out
    assert "8 of 8" in told
    assert "2 of 1" in told
    assert "402: the licence allows 1 node" in told


def test_with_room_to_spare_all_is_answered_until_it_ends(repo: FleetRepo) -> None:
    assert "for anybody until" in put(repo, "--cores", "100", "--expires", "2026-12-31T12:00:00Z")
    assert shown(repo)["refusal"] is None
    assert "2, without a limit" in repo.at("licence", "show", code=0).out
    assert str(shown(repo, now="2026-12-31T12:00:00Z")["refusal"]).startswith("the licence expired on 2026-12-31 12:00")


def test_without_one_it_is_said_that_nothing_is_limited(repo: FleetRepo) -> None:
    bare = FleetRepo(home=repo.home, work=repo.work, bare=repo.bare)
    told = bare.at("licence", "show", code=0).out
    assert "none: nothing is limited" in told
    assert "as asked" in told
    assert bare.at("licence", "show", "--json", code=0).json()["licence"] is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--expires", "2026-06-16"), "2026-06-16 is over already"),
        (("--expires", "soon"), "--expires: 'soon' is not an RFC 3339 instant"),
        (("--expires", "9999-12-31"), "too far away"),
        (("--expires", "2027-01-01", "--org", "a b"), "'a b' is no name"),
        (("--expires", "2027-01-01", "--cores", "-1"), "--cores"),
        (("--expires", "2027-01-01", "--key", "public.pem"), "public.pem is no private key"),
        (("--expires", "2027-01-01", "--key", "nowhere.pem"), "nowhere.pem cannot be read"),
    ],
)
def test_what_cannot_be_signed_is_refused_with_the_reason(repo: FleetRepo, words: tuple[str, ...], told: str) -> None:
    ran = repo.at(*MAKE, *words, code=1)
    assert told in ran.err
    assert ran.out == ""


def test_a_key_of_another_kind_is_refused(repo: FleetRepo) -> None:
    openssl(repo.home, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "ec.pem")
    ran = repo.at("licence", "create", "--key", "ec.pem", "--expires", "2027-01-01", code=1)
    assert "ec.pem is a key of another kind than Ed25519" in ran.err


@pytest.mark.parametrize(("content", "told"), [("nonsense", "licence.jwt is no licence"), (None, "cannot be read")])
def test_serve_refuses_to_start_with_a_licence_that_cannot_be_used(
    repo: FleetRepo, content: str | None, told: str
) -> None:
    file = repo.home / "licence.jwt"
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_text(content)
    ran = repo.trimtab("serve", "--port", "0", "--no-loop", code=1)
    assert f"error: {'' if content else 'the licence '}licence.jwt" in ran.err
    assert told in ran.err
    assert "Traceback" not in ran.err
