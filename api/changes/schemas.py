"""What the changes routes take and answer."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from reconciler.model.agent import Health
from reconciler.model.change import ChangeState, ProposalKind
from reconciler.report.calendar import Instant
from reconciler.steps.root_proofs import Progress
from reconciler.store.verdicts import Said

_EDIT: JsonDict = {
    "path": "clusters/prod-eu-west-1/trimtab/shop/hpa-web.yaml",
    "field": "maxReplicas",
    "old": None,
    "new": "10",
}
_EXAMPLE: JsonDict = {
    "id": "01JY0C7W3B5N8Q2R4T6V8X0Z1A",
    "group": "scp-web--hpa",
    "state": "held",
    "summary": "Scale web between 2 and 10 replicas",
    "subject": {"kind": "policy", "id": "scp_1718000000000000000", "name": "web"},
    "cluster": "prod-eu-west-1",
    "kind": "hpa",
    "commit": None,
    "heldBy": "needs approval",
    "until": None,
    "files": ["clusters/prod-eu-west-1/trimtab/shop/hpa-web.yaml"],
    "decisions": [
        {
            "id": "01JY0C7W3B5N8Q2R4T6V8X0Z1B",
            "reason": "policy web: 2 to 10 replicas of shop/web, CPU at 70 %",
            "namespace": "shop",
            "workload": "web",
            "savingMonthly": None,
            "edits": [_EDIT],
        }
    ],
    "createdAt": "2026-06-17T10:00:00+00:00",
    "fleet": "https://git.example.com/acme/fleet.git",
    "approval": {"required": True, "verdict": None, "by": None, "at": None, "reason": None},
}


class _Schema(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class SubjectShown(_Schema):
    """On whose behalf: a policy, an action, or Trimtab's own tidying up."""

    kind: str
    id: str
    name: str


class EditShown(_Schema):
    """One value of one file. ``old`` null = it was not there; ``new`` null = it goes away."""

    path: str
    field: str
    old: str | None
    new: str | None


class DecisionShown(_Schema):
    """One decision; ``id`` is in the commit's trailers. ``savingMonthly``: a decimal number in the fleet's currency."""

    id: str
    reason: str
    namespace: str
    workload: str | None
    saving_monthly: str | None
    edits: list[EditShown]


class ApprovalShown(_Schema):
    """Whether a person has to approve, and what was said: ``verdict`` null = nothing yet, or not of every decision."""

    required: bool
    verdict: Said | None
    by: str | None
    at: Instant | None
    reason: str | None


class ChangeShown(_Schema):
    """A change: decisions that share one commit, in the shape that `trimtab plan --json` prints.

    ``heldBy`` and ``until``: what an open change waits for; ``until`` null = until a person acts.
    """

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    id: str
    group: str
    state: ChangeState
    summary: str
    subject: SubjectShown
    cluster: str
    kind: ProposalKind
    commit: str | None
    held_by: str | None
    until: str | None
    files: list[str]
    decisions: list[DecisionShown]
    created_at: Instant
    fleet: str
    approval: ApprovalShown


class RootShown(_Schema):
    """What is known of the change in one root that it touches. ``by`` says who tells: ``agent``, ``Application argocd/prod``,
    ``Kustomization flux-system/prod``. ``revision``: what the root is at; once the change was seen there, the one that
    brought it. ``message``: what is waited for."""

    cluster: str
    root: str
    by: str
    revision: str
    synced: bool
    health: Health
    message: str


class ProofShown(_Schema):
    """How far a change that has landed is: ``synced`` once all of its roots run its commit, ``healthy`` once all that it
    touches is healthy with it."""

    state: Progress
    clusters: list[RootShown]


TimeName = ChangeState | Literal["synced", "healthy"]

_PROOF: JsonDict = {
    "state": "synced",
    "clusters": [
        {
            "cluster": "prod-eu-west-1",
            "root": "clusters/prod-eu-west-1",
            "by": "Application argocd/prod",
            "revision": "3f2a91c0d4e5b6a7980123456789abcdef012345",
            "synced": True,
            "health": "progressing",
            "message": "Application argocd/prod is progressing",
        }
    ],
}


class ChangeDetail(ChangeShown):
    """A change, with all of its edits in one list, when it came into the states that are known, what shows that it is in
    force (``proof``, null until it has landed), and its commit message."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": _EXAMPLE
            | {
                "edits": [_EDIT],
                "times": {"proposed": "2026-06-17T10:00:00+00:00", "held": "2026-06-17T10:00:00+00:00"},
                "proof": None,
                "message": "Scale web between 2 and 10 replicas\n\nTrimtab-Change: 01JY0C7W3B5N8Q2R4T6V8X0Z1A\n",
            }
        }
    )

    edits: list[EditShown]
    times: dict[TimeName, Instant]
    proof: Annotated[ProofShown | None, Field(examples=[_PROOF])]
    message: str


class ChangePage(_Schema):
    """The newest first. ``next``: what to give as ``cursor`` for the changes after these; null = these were the last."""

    model_config = ConfigDict(json_schema_extra={"example": {"items": [_EXAMPLE], "next": None}})

    items: list[ChangeShown]
    next: str | None


class Judgement(_Schema):
    """Why, for those who read the record."""

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "agreed with the shop team"}})

    reason: Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")] = ""
