"""Whose a pod is, and the usage samples that it stands for.

Pods name their direct owner only: a ReplicaSet for a Deployment's pods, a Job for a CronJob's. Usage belongs to the
workload that people write, so the name is read back: ``web-6f7d8c9b5`` is ReplicaSet number something of ``web``.
"""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import numpy as np

from reconciler.model.observation import Pod, PushBody, SeriesKey
from reconciler.model.samples import Samples
from reconciler.model.workload import Resource, WorkloadKey

MEBIBYTE = 1024**2
"""What agents push as MB."""

Known = AbstractSet[tuple[str, str, str]]
"""Kind, namespace and name of the workloads that are known to exist."""

_TEMPLATE_HASH = re.compile(r"(.+)-[bcdfghjklmnpqrstvwxz2456789]{1,10}")
"""A Deployment's ReplicaSet: the hash is written in this alphabet (k8s.io/apimachinery ``rand.SafeEncodeString``)."""

_SCHEDULE_SUFFIX = re.compile(r"(.+)-\d{8,10}")
"""A CronJob's Job: the scheduled time in minutes since 1970 (before Kubernetes 1.21: seconds)."""


def workload_of(pod: Pod, cluster: str, known: Known) -> WorkloadKey | None:
    """The workload that a pod belongs to; a pod without owner is a workload of its own, of kind Pod.

    ``known`` decides where names leave room: an owner that is itself known, and the Deployment or CronJob of which is
    not, keeps its name. None for static pods, which belong to a node.
    """
    if pod.owner_kind == "Node":
        return None
    kind, name = _owner(pod, known)
    return WorkloadKey(cluster=cluster, namespace=pod.namespace, kind=kind, name=name)


def _owner(pod: Pod, known: Known) -> tuple[str, str]:
    if not pod.owner_kind:
        return "Pod", pod.name
    prefix = pod.owner_name.rpartition("-")[0]
    if pod.owner_kind == "ReplicaSet":
        for kind in ("Deployment", "Rollout"):
            if (kind, pod.namespace, prefix) in known:
                return kind, prefix
        return _unless_known(pod, known, "Deployment", _TEMPLATE_HASH)
    if pod.owner_kind == "Job":
        if ("CronJob", pod.namespace, prefix) in known:
            return "CronJob", prefix
        return _unless_known(pod, known, "CronJob", _SCHEDULE_SUFFIX)
    return pod.owner_kind, pod.owner_name


def _unless_known(pod: Pod, known: Known, kind: str, pattern: re.Pattern[str]) -> tuple[str, str]:
    match = pattern.fullmatch(pod.owner_name)
    if match and (pod.owner_kind, pod.namespace, pod.owner_name) not in known:
        return kind, match[1]
    return pod.owner_kind, pod.owner_name


def known_in(body: PushBody) -> Known:
    """The workloads that a push lists."""
    return {(workload.kind, workload.namespace, workload.name) for workload in body.workloads}


def samples_of(body: PushBody, cluster: str) -> Samples:
    """What the pods of a push used: each is one sample of its workload's containers, so that a second can have several."""
    known = known_in(body)
    numbers: dict[SeriesKey, int] = {}
    index, values = [], []
    for pod in body.pods:
        workload = workload_of(pod, cluster, known)
        if workload is None:
            continue
        for container, resource, value in _usage(pod):
            key = SeriesKey(workload=workload, container=container, resource=resource)
            index.append(numbers.setdefault(key, len(numbers)))
            values.append(value)
    return Samples(
        series=tuple(numbers),
        index=np.array(index, np.int64),
        seconds=np.full(len(index), int(body.timestamp.timestamp()), np.int64),
        values=np.array(values, np.float64),
    )


def _usage(pod: Pod) -> Iterator[tuple[str, Resource, float]]:
    """Container, resource and usage in cores or bytes, where measured."""
    for container in pod.containers:
        if container.cpu_millicores is not None:
            yield container.name, "cpu", container.cpu_millicores / 1000
        if container.memory_mb is not None:
            yield container.name, "memory", container.memory_mb * MEBIBYTE
