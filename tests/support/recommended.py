"""Recommendations as a pass would have stored them, without a pass."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from reconciler.model.quantity import GIB
from reconciler.model.recommendation import ContainerSizes, WorkloadRecommendation
from reconciler.model.workload import Resources
from support.replay import NOW

PROD, PROD_ID = "prod-eu-west-1", "c1a2b3c4-d5e6-7890-abcd-ef1234567890"
STAGING, STAGING_ID = "staging", "d2b3c4d5-e6f7-4890-abcd-ef1234567891"
DAYS = 14
_IDS = UUID("1b8b1c1e-7d6f-4f0e-9a55-0d8f3d7b4c21")


def sizes(name: str = "server", cpu: int | None = 2000, memory: int | None = 4 * GIB, **limits: int) -> ContainerSizes:
    """Millicores and bytes; ``limits``: ``cpu_limit``, ``memory_limit``."""
    return ContainerSizes(name=name, resources=Resources(cpu_request=cpu, memory_request=memory, **limits))


def recommendation(name: str = "web", saving: str = "0.1", **fields: Any) -> WorkloadRecommendation:
    """One of acme's, in the cluster PROD; its id follows from its name and its organization."""
    known = {
        "id": str(uuid5(_IDS, f"{fields.get('organization')} {name}")),
        "organization": "acme",
        "fleet": "fleet",
        "cluster": PROD,
        "cluster_id": PROD_ID,
        "namespace": "shop",
        "kind": "Deployment",
        "name": name,
        "saving_hourly": Decimal(saving),
        "current": (sizes(),),
        "recommended": (sizes(cpu=600, memory=2 * GIB),),
        "created_at": NOW - timedelta(hours=7),
        "updated_at": NOW - timedelta(hours=7),
        "analyzed_at": NOW,
        "window_seconds": DAYS * 86400,
    }
    return WorkloadRecommendation.model_validate(known | fields)
