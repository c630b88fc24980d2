"""The HPA that a policy asks for, field by field."""

import pytest

from reconciler.evaluate.hpa_spec import desired_hpa, takes_capacity
from reconciler.model.change import ValueEdit
from support.declared import OVERLAY, container, policy, workload

WEB = workload()


def test_every_field_comes_from_the_policy() -> None:
    rule = policy(
        max_replicas=12,
        step_size=3,
        memory_target_percent=80,
        cooldown_scale_up_seconds=60,
        cooldown_scale_down_seconds=600,
    )
    hpa = desired_hpa(rule, WEB, sized_cpu=False)
    assert (hpa.form, hpa.target) == ("hpa", WEB.ref)
    assert dict(hpa.values) == {
        "minReplicas": "2",
        "maxReplicas": "12",
        "metrics/cpu": "70%",
        "metrics/memory": "80%",
        "behavior/scaleUp/stabilizationWindowSeconds": "0",
        "behavior/scaleUp/pods": "3",
        "behavior/scaleUp/periodSeconds": "60",
        "behavior/scaleDown/stabilizationWindowSeconds": "600",
        "behavior/scaleDown/pods": "3",
        "behavior/scaleDown/periodSeconds": "600",
        "policy": "policy-web",
    }


@pytest.mark.parametrize(("cooldown", "period"), [(0, "15"), (14, "15"), (30, "30"), (1800, "1800")])
def test_periods_stay_within_what_an_hpa_accepts(cooldown: int, period: str) -> None:
    values = desired_hpa(policy(cooldown_scale_up_seconds=cooldown), WEB, sized_cpu=False).values
    assert values["behavior/scaleUp/periodSeconds"] == period


@pytest.mark.parametrize(("percent", "written"), [(70, "70%"), (70.4, "70%"), (70.5, "71%"), (1, "1%"), (99.9, "100%")])
def test_percentages_are_whole_and_rounded_half_up(percent: float, written: str) -> None:
    assert desired_hpa(policy(cpu_target_percent=percent), WEB, sized_cpu=False).values["metrics/cpu"] == written


def test_cpu_is_absolute_where_trimtab_sizes_it() -> None:
    pod = workload("web", container("server", cpu_request=400), container("proxy", "sidecar", cpu_request=100))
    assert desired_hpa(policy(), pod, sized_cpu=True).values["metrics/cpu"] == "350m"


def test_cpu_stays_a_percentage_where_there_is_no_request_to_take_it_of() -> None:
    assert desired_hpa(policy(), workload("web", container("server")), sized_cpu=True).values["metrics/cpu"] == "70%"


@pytest.mark.parametrize(
    ("field", "old", "new", "takes"),
    [
        ("maxReplicas", "10", "9", True),
        ("maxReplicas", "9", "10", False),
        ("maxReplicas", "10", None, True),
        ("minReplicas", "3", "2", True),
        ("minReplicas", "2", "11", False),
        ("metrics/cpu", "70%", "80%", True),
        ("metrics/cpu", "80%", "70%", False),
        ("metrics/cpu", "70%", "70m", False),  # 70 % of people's own 100m is the same figure
        ("metrics/cpu", "70%", "80m", True),
        ("metrics/cpu", "70m", "60%", False),
        ("metrics/memory", "80%", None, True),
        ("metrics/memory", None, "80%", False),
        ("maxReplicas", None, "4", True),  # the manifest runs 5
        ("maxReplicas", None, "5", False),
        ("behavior/scaleDown/pods", "1", "9", False),
    ],
)
def test_what_takes_capacity(field: str, old: str | None, new: str | None, takes: bool) -> None:
    runs_five = workload(replicas=5)
    edit = ValueEdit(path=f"{OVERLAY}/shop/hpa-web.yaml", form="hpa", target=WEB.ref, field=field, old=old, new=new)
    assert takes_capacity((edit,), runs_five) is takes
