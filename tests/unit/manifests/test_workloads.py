"""Manifests → typed objects, as a person writes them, with what is wrong in them named by file, line and field."""

from textwrap import dedent

import pytest

from reconciler.manifests.objects_declared import HpaSpec, LimitRangeSpec, NodePoolSpec, QuotaSpec, WorkloadSpec
from reconciler.manifests.workloads import Objects, parse_objects, read_objects
from reconciler.manifests.yaml_reader import load_all
from reconciler.model.workload import Resources

MIB = 1024**2


def read(text: str) -> Objects:
    return read_objects(dedent(text).encode(), path="apps/web.yaml")


def workload(text: str) -> WorkloadSpec:
    objects = read(text)
    assert not objects.problems, objects.problems
    spec = objects.workloads[0].spec
    assert isinstance(spec, WorkloadSpec)
    return spec


DEPLOYMENT = """\
    # the shop's front door
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: web
      namespace: shop
      labels: {app: web, tier: 1, canary: yes}
      annotations: {note: hello}
    spec:
      replicas: 3
      strategy:
        rollingUpdate: {maxSurge: 25%}
      template:
        metadata:
          labels: {app: web}
        spec:
          nodeSelector: {pool: general}
          initContainers:
            - name: migrate
              resources: {limits: {cpu: 1, memory: 64Mi}}
            - name: proxy
              restartPolicy: Always
              resources: {requests: {cpu: 100m}}
          containers:
            - name: server
              resources:
                requests: {cpu: 0.5, memory: 1Gi}
                limits: {memory: 2Gi}
            - name: bare
    """


def test_a_deployment_in_full() -> None:
    objects = read(DEPLOYMENT)
    assert objects.problems == ()
    (web,) = objects.workloads
    assert (web.ref.api_version, web.ref.kind, web.ref.namespace, web.ref.name) == (
        "apps/v1",
        "Deployment",
        "shop",
        "web",
    )
    assert (web.source.path, web.source.document, web.source.line) == ("apps/web.yaml", 0, 2)
    assert web.labels == {"app": "web", "tier": "1", "canary": "true"}
    assert web.annotations == {"note": "hello"}
    spec = web.spec
    assert isinstance(spec, WorkloadSpec)
    assert (spec.replicas, spec.replicas_line, spec.max_surge, spec.strategy) == (3, 10, "25%", "RollingUpdate")
    assert (spec.pod_labels, spec.node_selector) == ({"app": "web"}, {"pool": "general"})
    assert [(c.name, c.role) for c in spec.containers] == [
        ("migrate", "init"),
        ("proxy", "sidecar"),
        ("server", "main"),
        ("bare", "main"),
    ]
    assert spec.containers[2].resources == Resources(
        cpu_request=500, memory_request=1024 * MIB, memory_limit=2048 * MIB
    )
    assert spec.containers[3].resources == Resources()
    assert spec.containers[3].written == ()


def test_a_request_that_is_left_out_is_the_limit() -> None:
    migrate = workload(DEPLOYMENT).containers[0]
    assert migrate.resources == Resources(
        cpu_request=1000, memory_request=64 * MIB, cpu_limit=1000, memory_limit=64 * MIB
    )
    assert migrate.written == ("resources", "resources/limits")


def test_only_the_missing_request_is_filled_in() -> None:
    spec = workload(
        """\
        apiVersion: v1
        kind: Pod
        metadata: {name: one}
        spec:
          containers:
            - name: a
              resources: {requests: {cpu: 10m}, limits: {cpu: 20m, memory: 1Mi}}
        """
    )
    assert spec.containers[0].resources == Resources(cpu_request=10, memory_request=MIB, cpu_limit=20, memory_limit=MIB)


@pytest.mark.parametrize(
    ("head", "template"),
    [
        ("apiVersion: apps/v1\nkind: StatefulSet", "spec: {template: %s}"),
        ("apiVersion: apps/v1\nkind: DaemonSet", "spec: {template: %s}"),
        ("apiVersion: batch/v1\nkind: Job", "spec: {template: %s}"),
        ("apiVersion: batch/v1\nkind: CronJob", "spec: {jobTemplate: {spec: {template: %s}}}"),
        ("apiVersion: argoproj.io/v1alpha1\nkind: Rollout", "spec: {template: %s}"),
    ],
)
def test_every_kind_of_workload(head: str, template: str) -> None:
    pod = "{spec: {resources: {requests: {cpu: '2'}}, containers: [{name: a, resources: {requests: {cpu: 5m}}}]}}"
    objects = read_objects(f"{head}\nmetadata: {{name: x}}\n{template % pod}\n".encode(), path="x.yaml")
    spec = objects.workloads[0].spec
    assert isinstance(spec, WorkloadSpec)
    assert spec.containers[0].resources.cpu_request == 5
    assert spec.pod_cpu_request == 2000
    assert objects.workloads[0].ref.namespace is None


def test_a_rollout_that_refers_to_a_deployment_has_no_containers() -> None:
    spec = workload(
        """\
        apiVersion: argoproj.io/v1alpha1
        kind: Rollout
        metadata: {name: web}
        spec:
          workloadRef: {apiVersion: apps/v1, kind: Deployment, name: web}
          strategy: {blueGreen: {activeService: web}}
        """
    )
    assert spec.containers == ()
    assert (spec.strategy, spec.max_surge) == ("BlueGreen", "100%")


def test_kinds_of_the_same_name_in_other_groups_are_no_workloads() -> None:
    objects = read("apiVersion: example.com/v1\nkind: Deployment\nmetadata: {name: x}\n")
    assert objects.workloads == ()
    assert [o.ref.kind for o in objects.objects] == ["Deployment"]


def test_suspended_cronjobs() -> None:
    assert workload("apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: x}\nspec: {suspend: true}\n").suspend


@pytest.mark.parametrize(
    ("quantity", "message"),
    [
        ("lots", "'lots' is not a quantity such as 250m, 2 or 512Mi"),
        ("1 Gi", "'1 Gi' is not a quantity such as 250m, 2 or 512Mi"),
        ("-1", "-1 is negative"),
        ("yes", "True is not a quantity"),
        ("", "has no quantity"),
        ("[1]", "has no quantity"),
    ],
)
def test_a_quantity_that_is_none_is_named_and_only_that_value_is_lost(quantity: str, message: str) -> None:
    objects = read(
        f"""\
        apiVersion: apps/v1
        kind: Deployment
        metadata: {{name: first}}
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: {{name: web}}
        spec:
          template:
            spec:
              containers:
                - name: server
                  resources:
                    requests:
                      memory: 64Mi
                      cpu: {quantity}
                    limits: {{cpu: 2}}
        """
    )
    (problem,) = objects.problems
    assert problem.message == message
    assert (problem.path, problem.line) == ("apps/web.yaml", 16)
    assert problem.field == "spec.template.spec.containers[server].resources.requests.cpu"
    assert not problem.blocks_root
    spec = objects.workloads[1].spec
    assert isinstance(spec, WorkloadSpec)
    assert spec.containers[0].resources == Resources(memory_request=64 * MIB, cpu_limit=2000)


def test_a_list_is_its_items_and_problems_in_it_keep_their_line() -> None:
    objects = read(
        """\
        apiVersion: v1
        kind: List
        items:
          - apiVersion: apps/v1
            kind: Deployment
            metadata: {name: a}
          - apiVersion: v1
            kind: ConfigMapList
            items:
              - apiVersion: v1
                kind: ResourceQuota
                metadata: {name: q}
                spec:
                  hard:
                    pods: "10"
                    limits.cpu: many
        """
    )
    assert [o.ref.name for o in objects.objects] == ["a", "q"]
    quota = objects.quotas[0].spec
    assert isinstance(quota, QuotaSpec)
    assert quota.hard == {"pods": "10"}
    (problem,) = objects.problems
    assert (problem.line, problem.field) == (16, "spec.hard[limits.cpu]")


def test_hpas_of_both_versions_and_scaled_objects() -> None:
    objects = read(
        """\
        apiVersion: autoscaling/v1
        kind: HorizontalPodAutoscaler
        metadata: {name: old}
        spec: {maxReplicas: 5, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
        ---
        apiVersion: autoscaling/v2
        kind: HorizontalPodAutoscaler
        metadata: {name: new}
        spec:
          scaleTargetRef: {apiVersion: argoproj.io/v1alpha1, kind: Rollout, name: web}
          metrics:
            - type: Pods
              pods: {metric: {name: requests-per-second}}
            - type: ContainerResource
              containerResource: {name: memory, container: a}
            - type: Resource
              resource: {name: cpu}
        ---
        apiVersion: keda.sh/v1alpha1
        kind: ScaledObject
        metadata: {name: keda}
        spec:
          scaleTargetRef: {name: web}
          maxReplicaCount: 9
          triggers: [{type: kafka}, {type: memory}]
        """
    )
    assert objects.problems == ()
    assert [o.spec for o in objects.hpas] == [
        HpaSpec("Deployment", "web", 5, ("cpu",)),
        HpaSpec("Rollout", "web", None, ("cpu", "memory")),
        HpaSpec("Deployment", "web", 9, ("memory",)),
    ]


def test_node_pools_and_limit_ranges() -> None:
    objects = read(
        """\
        apiVersion: karpenter.sh/v1
        kind: NodePool
        metadata: {name: general}
        spec:
          limits: {cpu: "64", memory: 256Gi, nvidia.com/gpu: 2}
          template: {metadata: {labels: {pool: general}}}
        ---
        apiVersion: v1
        kind: LimitRange
        metadata: {name: bounds}
        spec:
          limits:
            - type: Container
              min: {cpu: 20m}
              max: {memory: 8Gi}
              default: {cpu: 500m}
              defaultRequest: {cpu: 100m}
              maxLimitRequestRatio: {cpu: 4, memory: "1.5"}
            - type: Pod
              max: {cpu: 4}
            - type: PersistentVolumeClaim
              max: {storage: 1Ti}
        """
    )
    assert objects.problems == ()
    assert objects.node_pools[0].spec == NodePoolSpec(64000, 256 * 1024 * MIB, {"pool": "general"})
    limits = objects.limit_ranges[0].spec
    assert isinstance(limits, LimitRangeSpec)
    container, pod = limits.items
    assert (container.min_cpu, container.max_memory, container.default_cpu) == (20, 8 * 1024 * MIB, 500)
    assert (container.default_request_cpu, container.ratio_cpu, container.ratio_memory) == (100, 4.0, 1.5)
    assert (pod.type, pod.max_cpu, pod.min_cpu) == ("Pod", 4000, None)


def test_a_helm_template_is_one_problem_that_says_so() -> None:
    objects = read("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {{ .Values.name }}\n")
    (problem,) = objects.problems
    assert objects.objects == ()
    assert objects.broken
    assert problem.line == 4
    assert "Helm" in problem.hint


def test_a_quoted_template_value_is_a_problem_of_that_value() -> None:
    objects = read(
        """\
        apiVersion: v1
        kind: Pod
        metadata: {name: a}
        spec: {containers: [{name: b, resources: {requests: {cpu: "{{ .Values.cpu }}"}}}]}
        """
    )
    (problem,) = objects.problems
    assert problem.field == "spec.containers[b].resources.requests.cpu"
    assert "helm" in problem.hint.lower()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("resources: [a.yaml]\n", ""),
        ("- a\n", ""),
        ("apiVersion: v1\nmetadata: {name: x}\n", "kind"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {}\n", "metadata.name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\n", "metadata.name"),
    ],
)
def test_what_is_no_object_breaks_the_file_but_not_its_other_objects(text: str, field: str) -> None:
    objects = read(f"{text}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: shop}}\n")
    assert objects.broken
    assert [problem.field for problem in objects.problems] == [field]
    assert [o.ref.name for o in objects.namespaces] == ["shop"]


def test_objects_for_tools_only_are_left_out() -> None:
    text = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: x, annotations: {config.kubernetes.io/local-config: %s}}\n"
    assert read(text % '"true"').objects == ()
    assert len(read(text % '"false"').objects) == 1


def test_odd_containers_and_replicas_are_named() -> None:
    objects = read(
        """\
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web}
        spec:
          replicas: "3"
          template:
            spec:
              containers:
                - name: a
                - image: x
                - name: a
                - name: Upper
              initContainers: none
        """
    )
    assert [(p.field, p.line) for p in objects.problems] == [
        ("spec.template.spec.initContainers", 13),
        ("spec.template.spec.containers[1].name", 10),
        ("spec.template.spec.containers[2]", 11),
        ("spec.template.spec.containers[3].name", 12),
        ("spec.replicas", 5),
    ]
    spec = objects.workloads[0].spec
    assert isinstance(spec, WorkloadSpec)
    assert [c.name for c in spec.containers] == ["a"]
    assert spec.replicas is None


def test_documents_that_are_read_already_give_the_same() -> None:
    text = dedent(DEPLOYMENT).encode()
    assert parse_objects(load_all(text, path="apps/web.yaml"), path="apps/web.yaml") == read(DEPLOYMENT)


ONE = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %s}\nspec:\n    replicas : 9  # many\r\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (ONE % "a" + "---\n" + ONE % "b", [5, 11]),
        ("# a comment\n--- \n" + ONE % "a" + "---\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  replicas: 9\n", [7]),
        (ONE % "a" + "    template:\n      metadata:\n        annotations:\n          replicas: 9\n", [0]),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: 9}\n", [0]),
        (ONE.replace("    replicas : 9", "    other: {}\n    paused: true") % "a", [0]),
    ],
)
def test_the_line_of_replicas_is_told_where_only_one_can_be_it(text: str, lines: list[int]) -> None:
    specs = [declared.spec for declared in read_objects(text.encode(), path="a.yaml").workloads]
    assert [spec.replicas_line for spec in specs if isinstance(spec, WorkloadSpec)] == lines
