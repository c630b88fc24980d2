"""Every row of the tables in docs/rollback.md is what the code does."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.commit.history import LandedCommit, parse_reverts, parse_trailers
from reconciler.commit.rollback import rollback_edits
from reconciler.commit.standing import standing
from reconciler.commit.values import is_machine_path
from reconciler.errors import NothingToRollBack
from reconciler.evaluate.refusals import too_close
from support.trees import Files

DOC = (Path(__file__).resolve().parents[3] / "docs/rollback.md").read_text(encoding="utf-8")
PATH = "clusters/prod/trimtab/shop/requests-deployment-web.yaml"


def rows(first: str) -> list[list[str]]:
    """The rows of the table whose first column is headed ``first``."""
    table = DOC[DOC.index(f"| {first} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def patch(cpu: str) -> Files:
    """A request patch in which memory stands and CPU has this value, or none."""
    line = "" if cpu == "none" else f"              cpu: {cpu}\n"
    text = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n"
        "      containers:\n        - name: server\n          resources:\n            requests:\n"
        f"{line}              memory: 1Gi\n"
    )
    return Files({PATH: text.encode()})


@pytest.mark.parametrize("row", rows("before"), ids="-".join)
def test_values(row: list[str]) -> None:
    before, wrote, now, says = row
    head = patch(now)
    head.files[PATH] = b"# so that the file is compared value by value\n" + head.files[PATH]
    try:
        plan = rollback_edits(patch(before), patch(wrote), head, is_machine=is_machine_path)
        edits, kept = plan.edits, plan.kept
    except NothingToRollBack as nothing:
        edits, kept = (), ()
        assert ("has been changed since" in nothing.message) == says.startswith("kept")
        assert (f"is now {now}" in nothing.message) == (says == f"kept at {now}")
    back = [edit.new or "none" for edit in edits]
    assert back == (
        [says.removeprefix("goes back to ")] if "goes back" in says else ["none"] if says == "goes away" else []
    )
    assert kept == ()


def landed(number: int, message: str) -> LandedCommit:
    return LandedCommit(
        sha=f"{number:040x}",
        parents=(f"{number - 1:040x}",),
        at=datetime(2026, 6, 16, tzinfo=UTC),
        author="somebody",
        subject="it",
        message=message,
        trailers=parse_trailers(message),
        reverted=parse_reverts(message),
        paths=(),
    )


@pytest.mark.parametrize("row", rows("history, oldest first"), ids="-".join)
def test_histories(row: list[str]) -> None:
    commits: list[LandedCommit] = []
    for number, words in enumerate(row[0].split(", "), start=1):
        target = {"change": 1, "the": number - 1}.get(words.partition(" of ")[2].split(" ")[0], 0)
        trailers = "" if "revert" in words else f"Trimtab-Change: C{number}\nTrimtab-Policy: web\n"
        trailers += "Trimtab-Rollback: C1\n" if "rollback of change" in words else ""
        said = f"This reverts commit {target:040x}.\n\n" if target else ""
        commits.append(landed(number, f"Subject\n\n{said}{trailers}"))
    stands = [int(commit.sha, 16) for commit in standing(commits).stands]
    assert stands == ([1] if row[1] == "change" else [])


@pytest.mark.parametrize("row", rows("refused"), ids="-".join)
def test_refusals(row: list[str]) -> None:
    refused, proposed = (None if value == "none" else value for value in row[:2])
    assert too_close(refused, proposed) == (row[2] == "no")


def test_the_message_has_the_trailers_of_a_rollback() -> None:
    match = re.search(r"```text\n(.*?)```", DOC, re.DOTALL)
    assert match
    commit = landed(2, match[1])
    assert commit.kind == "rollback"
    assert commit.reverts == commit.trailers.rollback
    assert commit.trailers.policy == "scp_storefront"
