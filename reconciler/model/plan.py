"""What one pass found, decided and did: the one value that `plan`, `reconcile`, `status` and the log are printed from."""

from datetime import datetime

from reconciler.model.base import Model
from reconciler.model.change import Change, Proposal
from reconciler.model.inventory import Problem
from reconciler.model.recommendation import ContainerRecommendation


class Pass(Model):
    """One pass over one fleet repo at one commit.

    ``ready`` may be committed now (or was: then each has its ``commit``); ``held`` waits, its verdict says for what and
    until when; ``blocked`` cannot be committed as things are. ``problems`` is everything that could not be read.
    ``seconds``: time spent, by stage.
    """

    fleet: str
    head: str
    at: datetime
    ready: tuple[Change, ...] = ()
    held: tuple[Change, ...] = ()
    blocked: tuple[Proposal, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    recommendations: tuple[ContainerRecommendation, ...] = ()
    builds: int = 0
    pushes: int = 0
    seconds: dict[str, float] = {}
