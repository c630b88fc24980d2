"""What messages say: trailers, reverts, and which commits stand."""

from datetime import UTC, datetime

import pytest

from reconciler.commit.history import LandedCommit, Trailers, parse_reverts, parse_trailers
from reconciler.commit.standing import standing

AT = datetime(2026, 6, 16, tzinfo=UTC)


def sha(number: int) -> str:
    return f"{number:040x}"


def landed(number: int, message: str, parents: tuple[int, ...] | None = None) -> LandedCommit:
    above = parents if parents is not None else (number - 1,) if number else ()
    return LandedCommit(
        sha=sha(number),
        parents=tuple(sha(parent) for parent in above),
        at=AT,
        author="somebody",
        subject=message.partition("\n")[0],
        message=message,
        trailers=parse_trailers(message),
        reverted=parse_reverts(message),
        paths=(),
    )


def change(number: int, trailers: str = "Trimtab-Policy: web", parents: tuple[int, ...] | None = None) -> LandedCommit:
    return landed(number, f"Raise web\n\nWhy: busy\n\nTrimtab-Change: C{number}\n{trailers}\n", parents)


def revert(number: int, *what: int, trailers: str = "", length: int = 40) -> LandedCommit:
    said = "\n".join(f"This reverts commit {sha(one)[:length]}." for one in what)
    return landed(number, f'Revert "it"\n\n{said}\n\n{trailers}')


def stands(*commits: LandedCommit) -> list[int]:
    return [int(commit.sha, 16) for commit in standing(commits).stands]


def test_trailers_are_read_one_by_one() -> None:
    message = (
        "Raise web\n\nWhy: it is busy\n\nTrimtab-Change: 01A\nTrimtab-Decision: 01B\nTrimtab-Decision: 01C\n"
        "Trimtab-Action: nightly\nTrimtab-Run: 7\nSigned-off-by: Bot <bot@example.com>\n"
    )
    assert parse_trailers(message) == Trailers(change="01A", decisions=("01B", "01C"), action="nightly", run="7")


@pytest.mark.parametrize(
    "message",
    [
        "Raise web (#7)\n\n* Raise web\n\nTrimtab-Change: 01A\n\n* fix\n\n---------\n\nCo-authored-by: Pat <p@example.com>\n",
        "Raise web\r\n\r\nTrimtab-Change: 01A\r\n",
        "Raise web\n\ntrimtab-change:   01A  \n",
        "Raise web\n\nTrimtab-Change: 01A",
    ],
)
def test_trailers_survive_what_forges_do_to_messages(message: str) -> None:
    assert parse_trailers(message).change == "01A"


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Trimtab-Change: 01A",
        "Fix\n\nI looked at this one:\nTrimtab-Change: 01A\nand it is wrong\n",
        "Fix\n\n> Trimtab-Change: 01A\n",
        "Fix\n\n    Trimtab-Change: 01A\n",
    ],
)
def test_words_about_a_trailer_are_none(message: str) -> None:
    assert parse_trailers(message) == Trailers()


def test_reverts_are_read_as_git_writes_them() -> None:
    assert parse_reverts(f'Revert "x"\n\nThis reverts commit {sha(1)}.\n') == (sha(1),)
    assert parse_reverts(f"Revert\n\nThis reverts commit {sha(1)}, reversing\nchanges made to {sha(2)}.\n") == (sha(1),)
    assert parse_reverts(f"Revert\n\nThis reverts commit {sha(1)}.\nThis reverts commit {sha(2)}.\n") == (
        sha(1),
        sha(2),
    )
    assert parse_reverts(f"Do not say: This reverts commit {sha(1)}.\n") == ()


def test_kinds_of_commits() -> None:
    assert change(1).kind == "change"
    assert landed(1, "Fix\n").kind == "other"
    assert revert(2, 1).kind == "revert by a person"
    assert revert(2, 1, trailers="Trimtab-Change: C2\nTrimtab-Action: nightly\n").kind == "turnup"
    assert revert(2, 1, trailers="Trimtab-Change: C2\nTrimtab-Policy: web\nTrimtab-Rollback: C1\n").kind == "rollback"
    assert revert(2, 1, trailers="Trimtab-Change: C2\nTrimtab-Action: a\nTrimtab-Rollback: C1\n").kind == "rollback"


def test_a_change_stands_until_it_is_reverted() -> None:
    assert stands(change(1), landed(2, "Fix\n"), change(3)) == [1, 3]
    result = standing([change(1), change(2), revert(3, 1)])
    assert [commit.sha for commit in result.stands] == [sha(2)]
    assert result.reverted[sha(1)].sha == sha(3)
    assert result.reverted[sha(1)].kind == "revert by a person"


def test_a_revert_of_a_revert_makes_it_stand_again() -> None:
    assert stands(change(1), revert(2, 1), revert(3, 2)) == [1]
    assert stands(change(1), revert(2, 1), revert(3, 2), revert(4, 3)) == []
    assert stands(change(1), revert(2, 1), revert(3, 2), revert(4, 1)) == []


def test_reverting_twice_is_reverting_once() -> None:
    assert stands(change(1), revert(2, 1), revert(3, 1)) == []
    assert stands(change(1), revert(2, 1), revert(3, 1), revert(4, 2)) == [1]


def test_a_persons_revert_of_our_rollback_makes_the_change_stand_again() -> None:
    rollback = revert(2, 1, trailers="Trimtab-Change: C2\nTrimtab-Policy: web\nTrimtab-Rollback: C1\n")
    assert stands(change(1), rollback) == []
    assert stands(change(1), rollback, revert(3, 2)) == [1]


def test_a_turn_up_ends_a_turndown_and_stands_itself() -> None:
    down = change(1, "Trimtab-Action: nightly\nTrimtab-Run: 1")
    up = revert(2, 1, trailers="Trimtab-Change: C2\nTrimtab-Action: nightly\nTrimtab-Run: 1\n")
    result = standing([down, up])
    assert [commit.sha for commit in result.stands] == [sha(2)]
    assert result.reverted[sha(1)].kind == "turnup"
    assert stands(down, up, revert(3, 2)) == [1]


def test_one_commit_may_revert_several_and_may_be_abbreviated() -> None:
    assert stands(change(1), change(2), change(3), revert(4, 1, 3)) == [2]
    long = {number: f"{number}abcdef{'0' * 33}" for number in (1, 2)}
    one, two = (change(number) for number in (1, 2))
    one, two = (LandedCommit(**{**vars(c), "sha": long[n], "parents": ()}) for n, c in ((1, one), (2, two)))
    by = landed(3, "Revert\n\nThis reverts commit 1abcdef.\n")
    assert [commit.sha for commit in standing([one, two, by]).stands] == [long[2]]


def test_an_abbreviation_that_could_be_two_reverts_neither() -> None:
    assert stands(change(1), change(2), revert(3, 1, length=10)) == [1, 2]


def test_reverting_a_merge_reverts_what_it_brought_in() -> None:
    base = landed(1, "base\n")
    ours, theirs = change(2, parents=(1,)), landed(3, "on main\n", parents=(1,))
    earlier = change(4, parents=(3,))
    merge = landed(5, "Merge pull request #7\n", parents=(4, 2))
    assert stands(base, ours, theirs, earlier, merge) == [2, 4]
    assert stands(base, ours, theirs, earlier, merge, revert(6, 5)) == [4]
    assert stands(base, ours, theirs, earlier, merge, revert(6, 5), revert(7, 6)) == [2, 4]


def test_a_revert_of_something_unknown_changes_nothing() -> None:
    assert stands(change(1), revert(2, 99)) == [1]
