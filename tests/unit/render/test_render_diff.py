"""Diffs of a plan: ``git apply`` is the judge."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.model.change import Change, Decision, Proposal, Subject
from reconciler.render.diff import plan_diff, unified

texts = st.lists(st.sampled_from(["a\n", "b\n", "c: 1\n", "\n", "- d\r\n", "é\n", "--- x\n"]), max_size=14)
contents = st.builds(lambda lines, end: ("".join(lines) + end).encode(), texts, st.sampled_from(["", "last"]))


def apply(folder: Path, diff: str) -> None:
    command = ["git", "apply", "--whitespace=nowarn", "--verbose", "-"]
    done = subprocess.run(command, cwd=folder, input=diff.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode() + diff


@settings(max_examples=60, deadline=None)
@example(b"b\na\na\na\na\na\na\n", b"b\nb\nb\na\na\na\na\n", "f.yaml")
@given(contents | st.none(), contents | st.none(), st.sampled_from(["f.yaml", "a b/é.yaml", 'q"uote.yaml']))
def test_git_makes_the_new_file_of_the_old_one(
    tmp_path_factory: pytest.TempPathFactory, before: bytes | None, after: bytes | None, name: str
) -> None:
    folder = tmp_path_factory.mktemp("diff")
    path = folder / name
    if before is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(before)
    diff = unified(before, after, name)
    if before == after:
        assert diff == ""
        return
    apply(folder, diff)
    assert (path.read_bytes() if path.exists() else None) == after


def test_it_reads_like_gits_own() -> None:
    before = "".join(f"line {n}\n" for n in range(1, 21)).encode()
    after = before.replace(b"line 3\n", b"line three\n").replace(b"line 17\n", b"")
    assert unified(before, after, "a/b.yaml") == (
        "diff --git a/a/b.yaml b/a/b.yaml\n--- a/a/b.yaml\n+++ b/a/b.yaml\n"
        "@@ -1,6 +1,6 @@\n line 1\n line 2\n-line 3\n+line three\n line 4\n line 5\n line 6\n"
        "@@ -14,7 +14,6 @@\n line 14\n line 15\n line 16\n-line 17\n line 18\n line 19\n line 20\n"
    )


def test_new_and_deleted_files_are_named() -> None:
    assert "new file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n" in unified(None, b"a\n", "x")
    assert "deleted file mode 100644\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n" in unified(b"a\n", None, "x")


def test_what_is_no_text_is_only_said_to_differ() -> None:
    assert unified(b"\xff\xfe", b"\x00", "x") == "diff --git a/x b/x\nBinary files a/x and b/x differ\n"


def change(number: int, files: dict[str, bytes | None]) -> Change:
    proposal = Proposal(
        kind="requests",
        subject=Subject(kind="action", id="a", name="nightly"),
        cluster="prod",
        root="r",
        namespace="shop",
        edits=(),
        reason="",
    )
    decision = Decision(id=f"D{number}", at=datetime(2026, 6, 16, tzinfo=UTC), proposal=proposal)
    return Change(id=f"C{number}", group=f"g{number}", decisions=(decision,), files=files)


def test_a_later_change_is_shown_against_the_earlier_one() -> None:
    head = {"k.yaml": b"one\n"}
    changes = [change(1, {"k.yaml": b"one\ntwo\n", "new": b"x\n"}), change(2, {"k.yaml": b"one\ntwo\nthree\n"})]
    (_, first), (_, second) = plan_diff(changes, head.get)
    assert first.count("\n+two\n") == 1
    assert "+two" not in second
    assert "+three" in second
