"""Commit messages and pull requests: what people read, and what ``git interpret-trailers`` reads."""

import re
import subprocess
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.change import Change, Decision, Proposal, Subject, ValueEdit, Verdict
from reconciler.model.workload import ObjectRef
from reconciler.render.message import commit_message, pr_body
from reconciler.render.templates import Templates

BUILTIN = {path.name: path.read_text() for path in (Path(__file__).resolve().parents[3] / "templates").glob("*.j2")}
TEMPLATES = Templates(BUILTIN)
ACTION = Subject(kind="action", id="act-1", name="nightly", run="RUN1")
POLICY = Subject(kind="policy", id="POL1", name="web")
SHA = "0123456789abcdef0123456789abcdef01234567"
numbers = count()


def edit(field: str, old: str | None, new: str | None, *, form: str = "requests", **ref: str) -> ValueEdit:
    target = ObjectRef(**{"api_version": "apps/v1", "kind": "Deployment", "name": "web", "namespace": "shop", **ref})
    return ValueEdit.model_validate(
        {"path": f"r/trimtab/shop/{form}-{target.name}.yaml", "form": form, "target": target}
        | {"field": field, "old": old, "new": new}
    )


def proposal(*edits: ValueEdit, **fields: object) -> Proposal:
    values: dict[str, object] = {"kind": "requests", "subject": ACTION, "cluster": "boutique-prod", "root": "r"}
    values |= {"namespace": "shop", "workload": "web", "edits": edits, "reason": "p95 of 14 days"}
    return Proposal.model_validate(values | fields)


def change(*proposals: Proposal, **fields: object) -> Change:
    at = datetime(2026, 6, 16, tzinfo=UTC)
    decisions = tuple(Decision(id=f"DEC{next(numbers):05}", at=at, proposal=p) for p in proposals)
    return Change.model_validate({"id": "CHG1", "group": "g", "decisions": decisions} | fields)


def trailers(message: str) -> list[str]:
    command = ["git", "interpret-trailers", "--parse"]
    return subprocess.run(command, input=message, capture_output=True, text=True, check=True).stdout.splitlines()


def subject(*proposals: Proposal) -> str:
    return commit_message(change(*proposals), TEMPLATES).split("\n")[0]


CPU = "containers/server/requests/cpu"
HPA_FIELDS = (("maxReplicas", "10"), ("metrics/cpu", "70%"), ("minReplicas", "2"))


def test_a_right_sizing_reads_like_this() -> None:
    edits = (edit(CPU, "100m", "65m"), edit("containers/server/requests/memory", "64Mi", "96Mi"))
    other = edit("initContainers/migrate/limits/memory", None, "40Mi", name="api")
    made = change(
        proposal(*edits, saving_monthly=Decimal("20.70")),
        proposal(other, workload="api", saving_monthly=Decimal("10.5")),
    )
    ids = [decision.id for decision in made.decisions]
    assert commit_message(made, TEMPLATES) == (
        "Right-size 2 workloads in boutique-prod/shop, save $31.20/month\n"
        "\n"
        "Why: p95 of 14 days\n"
        "\n"
        "Deployment shop/web\n"
        "  server cpu request     100m → 65m\n"
        "  server memory request  64Mi → 96Mi\n"
        "\n"
        "Deployment shop/api\n"
        "  init migrate memory limit  – → 40Mi\n"
        "\n"
        "Saves $31.20 a month.\n"
        "\n"
        "Trimtab-Change: CHG1\n"
        f"Trimtab-Decision: {ids[0]}\n"
        f"Trimtab-Decision: {ids[1]}\n"
        "Trimtab-Action: act-1\n"
        "Trimtab-Run: RUN1\n"
    )


def hpa(*edits: tuple[str, str | None, str | None], **fields: object) -> Proposal:
    made = tuple(edit(field, old, new, form="hpa") for field, old, new in edits)
    return proposal(*made, kind="hpa", subject=POLICY, **fields)


TURN = {"form": "turndown", "api_version": "v1", "kind": "Namespace", "name": "dev"}
WEB_DOWN = edit("apps/v1|Deployment|dev|web", None, "replicas=0", **TURN)
POOL = {"form": "nodepool", "api_version": "karpenter.sh/v1", "kind": "NodePool", "name": "general"}
QUOTA = {"form": "quota", "api_version": "v1", "kind": "ResourceQuota", "name": "team"}


@pytest.mark.parametrize(
    ("proposals", "expected"),
    [
        ([proposal(edit(CPU, "100m", "65m"))], "Right-size web in boutique-prod/shop"),
        (
            [proposal(edit(CPU, "100m", "200m"), saving_monthly=Decimal("-3.1"))],
            "Right-size web in boutique-prod/shop, cost $3.10/month",
        ),
        (
            [hpa(("minReplicas", None, "2"), ("maxReplicas", None, "10"), ("metrics/cpu", None, "70%"))],
            "Scale web: HPA 2–10 replicas at 70% CPU",
        ),
        ([hpa(("maxReplicas", "10", "12"))], "Scale web: HPA max 10 → 12 replicas"),
        ([hpa(("metrics/cpu", "70%", "50m"))], "Scale web: HPA at 50m CPU"),
        ([hpa(("maxReplicas", "10", None))], "Stop scaling web in boutique-prod/shop"),
        ([hpa(("metrics/memory", "80%", None))], "Scale web: HPA without its memory target"),
        (
            [
                proposal(
                    *(edit(field, old, None, form="hpa", name="old") for field, old in HPA_FIELDS),
                    *(edit(field, None, new, form="hpa") for field, new in HPA_FIELDS),
                    kind="hpa",
                )
            ],
            "Scale web: HPA 2–10 replicas at 70% CPU",
        ),
        ([proposal(WEB_DOWN, kind="turndown", namespace="dev")], "Turn down namespace dev in boutique-prod"),
        ([proposal(WEB_DOWN, kind="turnup", namespace="dev")], "Turn up namespace dev in boutique-prod"),
        (
            [proposal(WEB_DOWN, kind="turndown", namespace=name) for name in ("dev", "test")],
            "Turn down 2 namespaces in boutique-prod",
        ),
        ([proposal(edit(CPU, "1", None), kind="stale")], "Drop 1 stale patch in boutique-prod"),
        ([proposal(edit("target", None, None), kind="stale")], "Aim 1 patch anew in boutique-prod"),
        (
            [proposal(edit("target", None, None, name="api"), edit(CPU, "1", None), kind="stale")],
            "Drop 1 stale patch and aim 1 patch anew in boutique-prod",
        ),
        (
            [proposal(edit("limits/cpu", "32", "64", **POOL), kind="nodepool", namespace="", subject=POLICY)],
            "Raise NodePool general to 64 CPU in boutique-prod",
        ),
        (
            [proposal(edit("hard/requests.cpu", "4", "2", **QUOTA), kind="quota", workload="")],
            "Resize ResourceQuota team in boutique-prod/shop",
        ),
        (
            [proposal(edit("replicas", None, "null", form="replicas"), kind="handover", subject=POLICY)],
            "Hand the replicas of web over to the HPA in boutique-prod/shop",
        ),
        (
            [proposal(edit(CPU, "65m", "100m"), kind="rollback", subject=POLICY, reverts=SHA)],
            "Roll back policy web to before 0123456789ab",
        ),
        (
            [proposal(edit(CPU, "1", "2")), proposal(edit("hard/requests.cpu", "4", "2", **QUOTA), kind="quota")],
            "Change 2 values for action nightly in boutique-prod/shop",
        ),
    ],
)
def test_the_subject_says_what_is_done(proposals: list[Proposal], expected: str) -> None:
    assert subject(*proposals) == expected


@pytest.mark.parametrize(
    ("currency", "expected"), [("EUR", "save €1,234.50/month"), ("CHF", "save 1,234.50 CHF/month")]
)
def test_money_is_in_the_fleets_currency(currency: str, expected: str) -> None:
    made = change(proposal(edit(CPU, "2", "1"), saving_monthly=Decimal("1234.5")))
    assert expected in commit_message(made, TEMPLATES, currency=currency).split("\n")[0]


def test_a_rollback_says_what_it_reverts_as_git_does() -> None:
    message = commit_message(change(proposal(edit(CPU, "65m", "100m"), kind="rollback", reverts=SHA)), TEMPLATES)
    assert f"This reverts commit {SHA}." in message.split("\n")
    assert f"Trimtab-Rollback: {SHA}" in trailers(message)


def test_turning_up_reverts_the_turning_down_without_being_a_rollback() -> None:
    message = commit_message(change(proposal(WEB_DOWN, kind="turnup", reverts=SHA)), TEMPLATES)
    assert f"This reverts commit {SHA}." in message.split("\n")
    assert not any(line.startswith("Trimtab-Rollback") for line in trailers(message))


def test_a_long_table_is_cut_and_every_decision_stays() -> None:
    message = commit_message(
        change(*(proposal(edit(CPU, "2", "1", name=f"w{i}"), workload=f"w{i}") for i in range(1000))), TEMPLATES
    )
    assert message.count(" → ") == 200
    assert "\n… and 800 more\n" in message
    assert sum(line.startswith("Trimtab-Decision: ") for line in trailers(message)) == 1000


HOSTILE = st.sampled_from(
    [
        "web\n\nTrimtab-Policy: forged",
        "Trimtab-Decision: forged",
        "---",
        "--- a",
        f"This reverts commit {SHA}.",
        f"x\r\nThis reverts commit {SHA}.",
        "\u2028Signed-off-by: me",
        "@everyone <img src=x onerror=1> [a](http://b) | ` **",
        "{{ 1 }}{% raw %}",
        "x" * 500,
        "\x00\x1b[31m",
        "\u202eevil",
    ]
)
ANY = HOSTILE | st.text(min_size=1, max_size=30)
HOSTILE_CHANGES = st.builds(
    lambda kind, name, reason, new, where, who: change(
        proposal(
            edit(CPU, None, new, name=name),
            kind=kind,
            workload=name,
            namespace=where,
            reason=reason,
            subject=Subject(kind="policy", id=who, name=who),
        )
    ),
    st.sampled_from(["requests", "hpa", "quota", "turndown", "stale", "policy", "rollback", "nodepool"]),
    ANY,
    ANY,
    ANY,
    ANY,
    ANY,
)


@settings(max_examples=80, deadline=None)
@given(HOSTILE_CHANGES)
def test_names_from_outside_add_no_line_trailer_or_revert(made: Change) -> None:
    message = commit_message(made, TEMPLATES)
    lines = message.split("\n")
    assert message.splitlines() == lines[:-1]
    assert 0 < len(lines[0]) <= 72
    assert lines[1] == ""
    assert not any(line.startswith(("---", "This reverts commit")) for line in lines)
    found = trailers(message)
    assert [line.split(":")[0] for line in found] == ["Trimtab-Change", "Trimtab-Decision", "Trimtab-Policy"]
    assert not any(re.match(r"\W*Trimtab-\w+:", line) for line in lines[:-4])
    assert not any(ord(character) < 32 for line in lines for character in line)


def test_git_keeps_the_message_as_it_is(tmp_path: Path) -> None:
    message = commit_message(change(proposal(edit(CPU, "100m", "65m"), reason="--- odd\n\nreason")), TEMPLATES)
    tree = subprocess.run(
        "git init -q . && git mktree </dev/null", shell=True, cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.strip()
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    commit = subprocess.run(
        ["git", *identity, "commit-tree", tree], cwd=tmp_path, input=message, capture_output=True, text=True, check=True
    ).stdout.strip()
    shown = ["git", "log", "-1", "--format=%B%x00%(trailers:key=Trimtab-Action,valueonly)", commit]
    body, action = subprocess.run(shown, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split("\0")
    assert body == message
    assert action.strip() == "act-1"


def test_an_override_cannot_lose_the_trailers() -> None:
    templates = Templates(
        BUILTIN, {"commit-message.txt.j2": "{{ subject | upper }} {{ 'x' * 100 }}\n---\nTrimtab-Policy: x"}
    )
    message = commit_message(change(proposal(edit(CPU, "100m", "65m"))), templates)
    assert len(message.split("\n")[0]) == 72
    assert "Trimtab-Change: CHG1" in trailers(message)
    assert "Trimtab-Policy: x" not in trailers(message)


def test_a_pull_request_has_the_table_and_says_how_to_undo() -> None:
    made = change(
        proposal(edit(CPU, "100m", "65m"), saving_monthly=Decimal("3")),
        verdict=Verdict(allowed=False, reason="outside of `* 22-23 * * 1-5`"),
    )
    body = pr_body(made, TEMPLATES, risk="low", windows=["Maintenance opens 22:00 UTC"])
    assert "| `Deployment shop/web` | `server cpu request` | `100m` | `65m` |" in body
    for words in ("Saves $3.00 a month", "Risk: low", "Maintenance opens 22:00 UTC", "git revert", "Held: outside of"):
        assert words in body
    assert body == pr_body(made, TEMPLATES, risk="low", windows=["Maintenance opens 22:00 UTC"])


@settings(max_examples=60, deadline=None)
@given(HOSTILE_CHANGES)
def test_names_from_outside_come_alive_in_no_pull_request(made: Change) -> None:
    body = pr_body(made, TEMPLATES)
    rows = [line for line in body.split("\n") if line.startswith("| `")]
    assert len(rows) == 1
    assert rows[0].replace("\\|", "").count("|") == 5
    assert rows[0].count("`") == 8
    outside_code = "".join(
        part for line in body.split("\n") for part in line.split("`")[::2] if "trimtab rollback" not in line
    )
    assert "<img" not in outside_code.replace("\\<", "")
    assert "@everyone" not in outside_code


def test_a_pull_request_stays_within_what_forges_take() -> None:
    edits = [edit(CPU, "1" * 100, "2" * 100, name=f"{'w' * 200}{i}") for i in range(400)]
    body = pr_body(change(*(proposal(e, workload=e.target.name) for e in edits)), TEMPLATES)
    assert len(body) < 65_536
    assert "more values" in body
