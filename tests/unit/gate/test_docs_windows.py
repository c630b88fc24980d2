"""docs/windows.md says what is so: its YAML and crons can be read, its tables and its promises hold."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from reconciler.gate.verdict import Budget, verdict
from reconciler.gate.windows import check_window, is_open, warn_short
from reconciler.model.change import Proposal, Subject
from reconciler.model.window import Window, Windows, parse_duration

DOC = (Path(__file__).resolve().parents[3] / "docs" / "windows.md").read_text(encoding="utf-8")
YAML_BLOCKS = re.findall(r"^```yaml\n(.*?)^```", DOC, re.DOTALL | re.MULTILINE)
FIELD = r"[-0-9*,/]*(?:[a-z]{3})?[-0-9*,/a-z]*"
CRON = rf"{FIELD}(?: {FIELD}){{4}}"


def window(item: object, source: str = "") -> Window:
    """As trimtab.yaml spells a window: a cron, or a mapping."""
    if isinstance(item, str):
        return Window(cron=item, source=source)
    assert isinstance(item, dict)
    duration = {"duration": parse_duration(item["duration"])} if "duration" in item else {}
    return Window.model_validate({**item, **duration, "source": source})


def declared(value: object) -> Iterator[Window]:
    """Every window in a YAML value, wherever one may be declared."""
    if isinstance(value, list):
        for item in value:
            yield from declared(item)
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("maintenance", "exclusion"):
                yield from (window(item) for item in inner)
            elif key in ("maintenanceWindow", "exclusionWindow"):
                yield window(inner)
            else:
                yield from declared(inner)


def inline_crons() -> list[str]:
    prose = re.sub(r"^```.*?^```", "", DOC, flags=re.DOTALL | re.MULTILINE).replace(r"\|", "|")
    codes = re.findall(r"`([^`\n]+)`", prose)
    return sorted({code for code in codes if re.fullmatch(rf"{CRON}(?: \|\| {CRON})*", code)})


def rows() -> list[tuple[str, ...]]:
    """The rows of the tables that end in open or closed."""
    lines = (line.replace(r"\|", "¦") for line in DOC.splitlines() if line.startswith("|"))
    cells = (tuple(cell.strip().replace("¦", "|") for cell in line.strip("|").split("|")) for line in lines)
    return [row for row in cells if row[-1] in ("open", "closed")]


def test_the_page_has_what_these_tests_read() -> None:
    assert len(YAML_BLOCKS) >= 4
    assert {"* 22-23 * * 1-5", "* 20-23 * * 1-5 || * * * * 0,6", "* * * jan,jul *"} <= set(inline_crons())
    assert len(rows()) >= 15


@pytest.mark.parametrize("block", YAML_BLOCKS)
def test_every_window_in_yaml_can_be_used(block: str) -> None:
    found = list(declared(yaml.safe_load(block)))
    assert found
    for each in found:
        assert check_window(each) is None, each


@pytest.mark.parametrize("cron", inline_crons())
def test_every_cron_in_the_text_can_be_used(cron: str) -> None:
    assert check_window(Window(cron=cron)) is None


@pytest.mark.parametrize("row", rows(), ids=" ".join)
def test_every_row_of_the_tables_holds(row: tuple[str, ...]) -> None:
    cron, duration, timezone, at, state = row
    shown = Window(cron=cron.strip("`"), duration=parse_duration(duration) if duration else None, timezone=timezone)
    assert is_open(shown, datetime.fromisoformat(at).replace(tzinfo=UTC)) == (state == "open")


def test_the_error_shown_is_the_error_given() -> None:
    problem = check_window(Window(cron="* 22-6 * * *"))
    assert problem is not None
    assert problem in DOC


def test_the_reasons_and_the_until_shown_are_the_ones_given() -> None:
    fleet = yaml.safe_load(YAML_BLOCKS[0])["spec"]["windows"]
    windows = Windows.model_validate(
        {kind: tuple(window(item, "fleet") for item in fleet[kind]) for kind in ("maintenance", "exclusion")}
    )
    proposal = Proposal(
        kind="requests",
        subject=Subject(kind="action", id="a", name="a"),
        cluster="c",
        root="r",
        namespace="n",
        edits=(),
        reason="",
    )

    def ask(now: datetime) -> tuple[str, datetime | None]:
        found = verdict(proposal, windows=[windows], now=now, budget=Budget(commits_last_hour=0, limit=1))
        return found.reason, found.until

    assert ask(datetime(2026, 6, 16, 12, tzinfo=UTC))[0] in DOC
    reason, until = ask(datetime(2026, 12, 24, 22, 15, tzinfo=UTC))
    assert reason in DOC
    assert until == datetime(2027, 1, 4, 22, 0, tzinfo=UTC)


def test_the_short_window_is_warned_about_with_what_to_write() -> None:
    warning = warn_short(Window(cron="0 2 * * 0"), 60 * 10)
    assert warning is not None
    assert "write `* 2 * * 0` for the whole hour" in warning
