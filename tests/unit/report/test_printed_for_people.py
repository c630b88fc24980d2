"""What is printed for people: names as they are, whatever is in them, and nothing cut off in a narrow terminal."""

import io
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from reconciler.commands.options import print_diff
from reconciler.model.change import Change, Decision, Proposal, Subject, Verdict
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import Resources
from reconciler.report.passes import counted, held_table, landed_table
from reconciler.report.progress import landed_table as progress_table
from reconciler.report.progress import roots_table
from reconciler.report.recommendations import recommendation_table
from reconciler.report.status import ChangeProgress, RootProgress
from support.declared import workload

NOW = datetime(2026, 6, 17, 10, tzinfo=UTC)


def shown(what: RenderableType, width: int = 120) -> str:
    """As the commands print it, without colours."""
    console = Console(file=io.StringIO(), width=width, highlight=False, emoji=False)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def change(summary: str, reason: str = "") -> Change:
    proposal = Proposal(
        kind="requests",
        subject=Subject(kind="action", id="a", name="a"),
        cluster="c",
        root="r",
        namespace="n",
        edits=(),
        reason="",
    )
    return Change(
        id="1",
        group="g",
        decisions=(Decision(id="2", at=NOW, proposal=proposal),),
        verdict=Verdict(allowed=not reason, reason=reason),
        message=f"{summary}\n\nbody\n",
        commit="0123456789abcdef",
    )


def recommendation(name: str = "web", **changes: object) -> ContainerRecommendation:
    current = Resources(cpu_request=1000, cpu_limit=2000, memory_request=2**30, memory_limit=2**31)
    recommended = Resources(cpu_request=779, cpu_limit=1558, memory_request=890 * 2**20, memory_limit=1780 * 2**20)
    given = {
        "workload": workload(name),
        "container": "server",
        "current": current,
        "recommended": recommended,
        "changes": ("cpu", "memory"),
        "saving_monthly": Decimal("16.51"),
        "risk": "medium",
        "samples": 4032,
        "replicas": 1,
        "why": {"cpu": "max 0.506 cores over 14 d", "memory": "max 578.3 MiB over 14 d"},
    }
    return ContainerRecommendation.model_validate({**given, **changes})


@pytest.mark.parametrize("name", ["[prod] web", "[/red]", "a:key:b", "[link=x]y[/link]", "\\[x]"])
def test_names_are_printed_as_they_are(name: str) -> None:
    assert name in shown(held_table([change(f"Resize {name}", f"outside {name}")]))
    assert name in shown(landed_table([change(f"Resize {name}")]))
    assert name in shown(recommendation_table([recommendation(container=name, why={"cpu": name})], "USD"))


@pytest.mark.parametrize("width", [80, 90, 100, 120, 200])
def test_no_value_is_cut_off(width: int) -> None:
    text = shown(recommendation_table([recommendation("a-workload-with-quite-a-long-name")], "USD"), width)
    for value in ("1 → 779m", "2 → 1558m", "1Gi → 890Mi", "2Gi → 1780Mi", "$16.51", "4032", "medium"):
        assert value in text
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width


def test_limits_have_columns_of_their_own_where_there_is_room() -> None:
    wide, narrow = (shown(recommendation_table([recommendation()], "USD", why=False), width) for width in (140, 80))
    assert any("1 → 779m" in line and "2 → 1558m" in line for line in wide.splitlines())
    assert not any("1 → 779m" in line and "2 → 1558m" in line for line in narrow.splitlines())


def test_reasons_of_held_changes_are_whole_in_a_narrow_terminal() -> None:
    reason = "outside the maintenance window `* 20-23 * * 1-5 || * 0-5 * * 1-5 || * * * * 0,6` (action sleep-dev)"
    text = shown(held_table([change("Turn down namespace dev", reason)]), 60)
    for word in reason.split():
        assert word in text


def progress(message: str) -> ChangeProgress:
    return ChangeProgress(
        id="1",
        summary="Right-size 9 workloads in prod-eu-west-1/shop, save $31.20/month",
        cluster="prod-eu-west-1",
        subject="rightsize",
        state="reverted",
        commit="0123456789abcdef",
        committed_at=NOW,
        synced_at=NOW + timedelta(minutes=1),
        healthy_at=NOW + timedelta(minutes=2),
        message=message,
    )


@pytest.mark.parametrize("width", [80, 120, 200])
def test_what_became_of_changes_is_read_line_by_line_in_a_narrow_terminal(width: int) -> None:
    message = "taken back by the guard: 3 OOM kills of [shop]/web server, after its memory limit went 4Gi → 924Mi"
    lines = shown(progress_table([progress(message)]), width).splitlines()
    assert len(lines) <= 10, "a change is a few lines, not a word or a letter in each"
    assert lines[2].startswith("0123456789  committed 2026-06-17 10:00 UTC  Right-size 9")
    for step in ("synced    2026-06-17 10:01 UTC", "healthy   2026-06-17 10:02 UTC"):
        assert any(step in line for line in lines)
    assert all(word in "\n".join(lines) for word in ("reverted:", "[shop]/web", "924Mi"))


def test_what_clusters_run_fits_eighty_columns() -> None:
    root = RootProgress(
        cluster="prod-eu-west-1",
        root="clusters/prod-eu-west-1",
        sync="argocd",
        by="Application argocd/prod",
        revision="3f2a91c0d4e5b6a7980123456789abcdef012345",
        since=NOW,
        reported_at=NOW,
        health="degraded",
        message="Application argocd/prod is degraded: web: no quota",
    )
    lines = shown(roots_table([root]), 80).splitlines()
    assert len(lines) <= 6
    assert lines[2].startswith("prod-eu-west-1           3f2a91c0d4            degraded: Application")
    assert lines[3].startswith("clusters/prod-eu-west-1  2026-06-17 10:00 UTC  ")
    unreported = root.model_copy(update={"revision": "", "since": None, "health": "unknown", "message": "nobody yet"})
    assert "–" in shown(roots_table([unreported]), 80)


@settings(max_examples=50)
@given(st.text(alphabet="ab +-@\t\r\n\x0b\u2028[]:äd", max_size=60))
def test_a_diff_is_printed_byte_for_byte(diff: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", io.StringIO(newline=""))
        print_diff(diff)
        assert sys.stdout.getvalue() == diff  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 changes"), (1, "1 change"), (2, "2 changes"), (1200, "1,200 changes")]
)
def test_things_are_counted_as_people_do(number: int, words: str) -> None:
    assert counted(number, "change") == words
