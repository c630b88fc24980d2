"""What has landed on a real branch, by whom, and what people have put back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.clock import fixed_clock
from reconciler.commit.history import LandedCommit, scan
from reconciler.commit.repository import Repository
from reconciler.commit.rollback import rollback_edits
from reconciler.commit.standing import put_back_by_people, standing
from reconciler.commit.values import is_machine_path
from reconciler.commit.writer import Writer
from reconciler.errors import Stalled
from reconciler.model.fleet import Author
from support.fleets import git
from support.git_remotes import Shared, make_shared

NOW = datetime(2026, 6, 16, 10, 0, tzinfo=UTC)
WEB = "clusters/prod/trimtab/shop/requests-deployment-web.yaml"
API = "clusters/prod/trimtab/shop/requests-deployment-api.yaml"
MANIFEST = "clusters/prod/apps/web.yaml"


def requests(cpu: str, memory: str = "1Gi", name: str = "web") -> bytes:
    return (
        f"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  template:\n    spec:\n"
        "      containers:\n        - name: server\n          resources:\n            requests:\n"
        f"              cpu: {cpu}\n              memory: {memory}\n"
    ).encode()


class House:
    """A fleet in which Trimtab and people take turns."""

    def __init__(self, home: Path) -> None:
        self.shared: Shared = make_shared(home / "remote", {WEB: requests("500m"), MANIFEST: b"kind: Deployment\n"})
        self.repository = Repository.open(str(self.shared.bare), state_dir=home / "state", branch="main")
        self.writer = Writer(self.repository, author=Author(), signing=None, clock=fixed_clock(NOW))
        self.start = self.repository.fetch()
        self._changes = 0

    def ours(self, files: Mapping[str, bytes | None], extra: str = "", body: str = "Why: it is busy") -> str:
        self._changes += 1
        message = f"Raise it\n\n{body}\n\nTrimtab-Change: C{self._changes}\nTrimtab-Policy: web\n{extra}"
        old = self.repository.fetch()
        new = self.writer.commit(old, files, message)
        assert self.writer.push(new, old).pushed
        return new

    def person(self, files: Mapping[str, bytes | None], message: str = "Tune by hand") -> str:
        return self.shared.person_commits(files, message)

    def person_reverts(self, *words: str) -> str:
        git(self.shared.work, "pull", "--quiet", "--ff-only", "origin", "main")
        git(self.shared.work, "revert", "--no-edit", *words)
        git(self.shared.work, "push", "--quiet", "origin", "main")
        return self.shared.head

    def log(self) -> tuple[LandedCommit, ...]:
        return scan(self.repository, self.start, self.repository.fetch())

    def put_back(self) -> tuple[str, ...]:
        """By the newest commit, of the changes that stood before it."""
        *before, last = self.log()
        return put_back_by_people(last, self.repository, standing(before).stands)

    def close(self) -> None:
        self.writer.close()
        self.repository.close()


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    yield house
    house.close()


def test_commits_are_told_oldest_first_with_all_about_them(house: House) -> None:
    one = house.ours({WEB: requests("250m")}, "Trimtab-Decision: D1\n")
    two = house.person({"späße/a b.yaml": b"a: 1\n", MANIFEST: None}, "Subject\n\nBody of two\n\nparagraphs\n")
    log = house.log()
    assert [commit.sha for commit in log] == [one, two]
    first, second = log
    assert (first.kind, first.ours, first.subject, first.at) == ("change", True, "Raise it", NOW)
    assert (first.trailers.change, first.trailers.policy, first.trailers.decisions) == ("C1", "web", ("D1",))
    assert first.parents == (house.start,) and first.paths == (WEB,)
    assert (second.kind, second.ours, second.author) == ("other", False, "Pat Person <pat@example.com>")
    assert second.paths == (MANIFEST, "späße/a b.yaml")
    assert second.message.strip() == "Subject\n\nBody of two\n\nparagraphs"


def test_the_whole_history_and_none_of_it(house: House) -> None:
    house.ours({WEB: requests("250m")})
    head = house.repository.fetch()
    assert len(scan(house.repository, None, head)) == 2
    assert scan(house.repository, head, head) == ()
    with pytest.raises(Stalled, match="cannot read the history"):
        scan(house.repository, "0" * 40, head)


def test_a_persons_git_revert_is_understood(house: House) -> None:
    one = house.ours({WEB: requests("250m")})
    revert = house.person_reverts(one)
    last = house.log()[-1]
    assert (last.kind, last.reverts, last.sha) == ("revert by a person", one, revert)
    assert standing(house.log()).reverted[one] == last
    house.person_reverts(revert)
    assert [commit.sha for commit in standing(house.log()).stands] == [one]


def test_a_revert_that_a_merge_brings_in_counts(house: House) -> None:
    one = house.ours({WEB: requests("250m")})
    work = house.shared.work
    git(work, "pull", "--quiet", "--ff-only", "origin", "main")
    git(work, "switch", "--quiet", "--create", "undo")
    git(work, "revert", "--no-edit", one)
    git(work, "switch", "--quiet", "main")
    house.person({MANIFEST: b"kind: StatefulSet\n"})
    git(work, "merge", "--quiet", "--no-ff", "--no-edit", "undo")
    git(work, "push", "--quiet", "origin", "main")
    log = house.log()
    assert len(log) == 4 and len(log[-1].parents) == 2 and log[-1].paths == ()
    assert standing(log).stands == () and one in standing(log).reverted


def test_reverting_the_merge_of_a_proposal_reverts_the_change_in_it(house: House) -> None:
    old = house.repository.fetch()
    proposal = house.writer.commit(old, {WEB: requests("250m")}, "Raise\n\nTrimtab-Change: C9\n")
    assert house.writer.push_branch("trimtab/prod-requests", proposal, "").pushed
    house.person({MANIFEST: b"kind: StatefulSet\n"})
    work = house.shared.work
    git(work, "fetch", "--quiet", "origin")
    git(work, "merge", "--quiet", "--no-ff", "--no-edit", "origin/trimtab/prod-requests")
    git(work, "push", "--quiet", "origin", "main")
    assert [commit.sha for commit in standing(house.log()).stands] == [proposal]
    house.person_reverts("-m", "1", "HEAD")
    assert standing(house.log()).reverted[proposal].kind == "revert by a person"


def test_what_a_merge_changed_itself_is_told(house: House) -> None:
    work = house.shared.work
    git(work, "switch", "--quiet", "--create", "side")
    (work / MANIFEST).write_text("kind: Side\n")
    git(work, "commit", "--quiet", "--all", "--message", "side")
    git(work, "switch", "--quiet", "main")
    house.person({MANIFEST: b"kind: Main\n"})
    git(work, "merge", "--quiet", "side", check=False)
    (work / MANIFEST).write_text("kind: Both\n")
    git(work, "commit", "--quiet", "--all", "--message", "merged by hand")
    git(work, "push", "--quiet", "origin", "main")
    assert house.log()[-1].paths == (MANIFEST,)


# --- values put back without saying so ------------------------------------------------------------------------------------


def test_putting_every_value_back_by_hand_is_a_revert(house: House) -> None:
    one = house.ours({WEB: requests("250m", "512Mi")})
    house.person({WEB: b"# we know better\n" + requests("0.5")})
    assert house.put_back() == (one,)


def test_putting_some_values_back_is_none(house: House) -> None:
    house.ours({WEB: requests("250m", "512Mi")})
    house.person({WEB: requests("500m", "512Mi")})
    assert house.put_back() == ()


def test_another_value_is_none(house: House) -> None:
    house.ours({WEB: requests("250m")})
    house.person({WEB: requests("300m")})
    assert house.put_back() == ()


def test_the_commit_that_puts_the_last_value_back_counts(house: House) -> None:
    one = house.ours({WEB: requests("250m"), API: requests("1", name="api")})
    house.person({API: None})
    assert house.put_back() == ()
    house.person({WEB: requests("500m")})
    assert house.put_back() == (one,)
    house.person({WEB: b"# a comment\n" + requests("500m")})
    assert house.put_back() == ()


def test_going_back_over_two_changes_reverts_both(house: House) -> None:
    one = house.ours({WEB: requests("250m")})
    two = house.ours({WEB: requests("125m")})
    house.person({WEB: requests("250m")})
    assert house.put_back() == (two,)
    house.person({WEB: requests("125m")})
    house.person({WEB: requests("500m")})
    assert house.put_back() == (two, one)


def test_work_elsewhere_puts_nothing_back(house: House) -> None:
    house.ours({WEB: requests("250m")})
    house.person({MANIFEST: b"kind: StatefulSet\n"})
    assert house.put_back() == ()


def test_a_broken_file_puts_nothing_back(house: House) -> None:
    house.ours({WEB: requests("250m")})
    house.person({WEB: b"{broken"})
    assert house.put_back() == ()


def test_values_in_a_persons_manifest_count_too(house: House) -> None:
    text = b"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  cpu: %s\n"
    house.person({MANIFEST: text % b"500m"})
    one = house.ours({MANIFEST: text % b"250m"})
    house.person({MANIFEST: text % b"500m # no"})
    assert house.put_back() == (one,)


# --- rolling back in a real repository --------------------------------------------------------------------------------------


def test_a_rollback_commit_is_understood_at_the_next_scan(house: House) -> None:
    one = house.ours({WEB: requests("250m", "512Mi")})
    house.person({WEB: requests("250m", "2Gi")})
    head = house.repository.fetch()
    tree = house.repository.tree
    plan = rollback_edits(tree(house.start), tree(one), tree(head), is_machine=is_machine_path)
    assert [(edit.old, edit.new) for edit in plan.edits] == [("250m", "500m")]
    assert [(edit.old, edit.new) for edit in plan.kept] == [("512Mi", "2Gi")]
    said = f"This reverts commit {one}."
    house.ours({WEB: requests("500m", "2Gi")}, "Trimtab-Rollback: C1\n", said)
    log = house.log()
    assert log[-1].kind == "rollback" and log[-1].reverts == one
    assert standing(log).stands == ()
