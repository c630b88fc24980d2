"""How large each measure is: in full, or with ``--quick`` so small that a test can run all of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """``small`` and ``large``: numbers of workloads between which growth is measured, ``each`` of them in one root.

    ``policies`` of the large fleet's workloads have a scaling policy. ``step``: seconds between samples of its history.
    ``series``: how many usage series the store's own measures take, at one sample a minute.
    ``agents`` push for ``push_seconds`` in each round. ``recommendations`` are stored, ``pages`` of them asked for.
    A Prometheus knows ``scanned`` workloads for ``scan_days``. A cluster has ``pods``.
    """

    files: int = 10_000
    rounds: int = 5
    plans: int = 3
    small: int = 1_000
    large: int = 10_000
    each: int = 100
    policies: int = 100
    step: int = 1800
    days: int = 14
    series: int = 200
    rows: int = 200_000
    summaries: int = 20_000
    agents: int = 1_000
    push_seconds: float = 4.0
    scanned: int = 500
    scan_days: int = 7
    recommendations: int = 100_000
    pages: int = 300
    pods: int = 1_000


FULL = Scale()
QUICK = Scale(
    files=60,
    rounds=2,
    plans=1,
    small=4,
    large=12,
    each=4,
    policies=3,
    step=1800,
    days=3,
    series=4,
    rows=2_000,
    summaries=24,
    agents=3,
    push_seconds=0.2,
    scanned=6,
    scan_days=1,
    recommendations=300,
    pages=5,
    pods=10,
)
