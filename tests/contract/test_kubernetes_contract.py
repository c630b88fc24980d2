"""What Trimtab relies on of a Kubernetes API server, through its own adapter.

It runs on the double, and also on the API server that KUBECONFIG names, in a namespace of its own that it deletes at the
end. It needs no nodes, no controllers and no metrics; with controllers it is the same.
"""

import pytest

from reconciler.agent.kubernetes.cluster import Conflict, Invalid, Missing, NoSuchKind, ObjectKey
from support.kube_suite import Api, container_in, cpu_of, managers_of

TRIMTAB = "trimtab"
CPU = ("spec", "template", "spec", "containers", 'k:{"name":"server"}', "resources", "requests", "cpu")


# -- Reading -------------------------------------------------------------------------------------------------------------


def test_what_is_not_there_is_none(api: Api) -> None:
    assert api.cluster.get(api.key("Deployment", "nobody")) is None


def test_a_kind_that_nobody_installed_is_named(api: Api) -> None:
    assert api.cluster.serves("apps/v1", "Deployment")
    assert not api.cluster.serves("apps/v1", "Nonsense")
    assert not api.cluster.serves("trimtab.invalid/v1", "Nonsense")
    with pytest.raises(NoSuchKind, match=r"Nonsense of trimtab\.invalid/v1"):
        list(api.cluster.list("trimtab.invalid/v1", "Nonsense"))
    with pytest.raises(NoSuchKind):
        api.cluster.get(ObjectKey("trimtab.invalid/v1", "Nonsense", api.namespace, "one"))
    nonsense = {
        "apiVersion": "trimtab.invalid/v1",
        "kind": "Nonsense",
        "metadata": {"name": "one", "namespace": "default"},
    }
    with pytest.raises(NoSuchKind):
        api.cluster.apply(nonsense, manager=TRIMTAB, force=True)


def test_a_list_comes_page_by_page_and_names_each_object_once(api: Api) -> None:
    names = {f"paged-{number}" for number in range(5)}
    for name in names:
        api.cluster.apply(api.config(name, number=name), manager=TRIMTAB, force=False)
    listed = [
        each for each in api.cluster.list("v1", "ConfigMap", limit=2) if each["metadata"]["name"].startswith("paged-")
    ]
    ours = [each for each in listed if each["metadata"]["namespace"] == api.namespace]
    assert sorted(each["metadata"]["name"] for each in ours) == sorted(names)
    assert {(each["apiVersion"], each["kind"]) for each in ours} == {("v1", "ConfigMap")}


# -- Apply ---------------------------------------------------------------------------------------------------------------


def test_apply_creates_and_owns_just_what_it_lists(api: Api) -> None:
    made = api.cluster.apply(api.deployment("made"), manager=TRIMTAB, force=False)
    assert made["metadata"]["uid"]
    assert made["spec"]["replicas"] == 1, "the default"
    assert managers_of(made, "spec", "replicas") == set()
    assert managers_of(made, *CPU) == {TRIMTAB}
    assert api.read(made)["metadata"]["uid"] == made["metadata"]["uid"]


def test_applying_the_same_again_changes_nothing(api: Api) -> None:
    ours = api.config("same", colour="blue")  # nobody else writes into it, as controllers do into a status
    first = api.cluster.apply(ours, manager=TRIMTAB, force=True)
    second = api.cluster.apply(ours, manager=TRIMTAB, force=True)
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_a_partial_changes_only_its_fields_and_finds_containers_by_name(api: Api) -> None:
    api.create(api.deployment("part", replicas=3), "kubectl")
    applied = api.cluster.apply(api.partial("part", cpu_of("server", "250m")), manager=TRIMTAB, force=True)
    server, sidecar = container_in(applied, "server"), container_in(applied, "sidecar")
    assert server["resources"]["requests"] == {"cpu": "250m", "memory": "64Mi"}
    assert (server["image"], sidecar["image"]) == ("example.invalid/server:1", "example.invalid/sidecar:1")
    assert len(applied["spec"]["template"]["spec"]["containers"]) == 2
    assert applied["spec"]["replicas"] == 3
    assert managers_of(applied, *CPU) == {TRIMTAB}


def test_environment_and_ports_are_lists_by_their_keys(api: Api) -> None:
    api.create(api.deployment("keys"), "kubectl")
    more = {"name": "server", "env": [{"name": "SIZE", "value": "large"}], "ports": [{"containerPort": 8080, "protocol": "UDP", "name": "voice"}]}  # fmt: skip
    applied = api.cluster.apply(
        api.partial("keys", {"template": {"spec": {"containers": [more]}}}), manager=TRIMTAB, force=True
    )
    server = container_in(applied, "server")
    assert {each["name"]: each["value"] for each in server["env"]} == {"COLOUR": "blue", "SIZE": "large"}
    assert {each["protocol"]: each.get("name", "") for each in server["ports"]} == {"TCP": "", "UDP": "voice"}


def test_labels_and_annotations_of_others_stay(api: Api) -> None:
    settings = api.config("labels", colour="blue")
    settings["metadata"]["labels"] = {"team": "shop"}
    api.create(settings, "kubectl")
    ours = api.config("labels")
    ours["metadata"] |= {"labels": {"trimtab.dev/tried": "yes"}, "annotations": {"trimtab.dev/owns": "fields"}}
    del ours["data"]
    applied = api.cluster.apply(ours, manager=TRIMTAB, force=False)
    assert applied["metadata"]["labels"] == {"team": "shop", "trimtab.dev/tried": "yes"}
    assert applied["data"] == {"colour": "blue"}


def test_quantities_are_kept_in_their_canonical_form(api: Api) -> None:
    api.create(api.deployment("canonical"), "kubectl")
    applied = api.cluster.apply(api.partial("canonical", cpu_of("server", "1000m")), manager=TRIMTAB, force=True)
    assert container_in(applied, "server")["resources"]["requests"]["cpu"] == "1"


def test_status_is_not_ours_to_apply(api: Api) -> None:
    whole = api.deployment("status")
    whole["status"] = {"replicas": 7}
    applied = api.cluster.apply(whole, manager=TRIMTAB, force=True)
    assert applied.get("status", {}).get("replicas", 0) == 0


def test_generation_moves_with_the_spec_and_not_with_labels(api: Api) -> None:
    made = api.cluster.apply(api.deployment("generation"), manager=TRIMTAB, force=False)
    whole = api.deployment("generation")
    whole["metadata"]["labels"] = {"trimtab.dev/tried": "yes"}
    noted = api.cluster.apply(whole, manager=TRIMTAB, force=False)
    assert noted["metadata"]["generation"] == made["metadata"]["generation"]
    whole["metadata"]["annotations"] = {"trimtab.dev/tried": "yes"}  # of a Deployment they count
    whole["spec"]["minReadySeconds"] = 5
    moved = api.cluster.apply(whole, manager=TRIMTAB, force=False)
    assert moved["metadata"]["generation"] == made["metadata"]["generation"] + 1


# -- Conflicts and ownership ---------------------------------------------------------------------------------------------


def test_another_owner_is_a_conflict_that_names_owner_and_field(api: Api) -> None:
    api.create(api.deployment("owned", replicas=3), "kubectl")
    ours = api.partial("owned", {"replicas": 5})
    with pytest.raises(Conflict) as raised:
        api.cluster.apply(ours, manager=TRIMTAB, force=False)
    assert raised.value.owners == (("kubectl", ".spec.replicas"),)
    assert "kubectl" in raised.value.message and ".spec.replicas" in raised.value.message
    assert api.read(ours)["spec"]["replicas"] == 3


def test_each_field_of_each_owner_is_in_the_conflict(api: Api) -> None:
    api.create(api.deployment("several", replicas=3), "kubectl")
    api.cluster.apply(api.partial("several", {"minReadySeconds": 9}), manager="argocd-controller", force=False)
    ours = api.partial("several", {"replicas": 5, "minReadySeconds": 1, **cpu_of("server", "300m")})
    with pytest.raises(Conflict) as raised:
        api.cluster.apply(ours, manager=TRIMTAB, force=False)
    cpu = '.spec.template.spec.containers[name="server"].resources.requests.cpu'
    assert set(raised.value.owners) == {
        ("kubectl", ".spec.replicas"),
        ("kubectl", cpu),
        ("argocd-controller", ".spec.minReadySeconds"),
    }


def test_an_autoscaler_that_scaled_is_an_owner(api: Api) -> None:
    api.create(api.deployment("scaled", replicas=3), "kubectl")
    ours = api.partial("scaled", {"replicas": 5})
    api.scale(ours, 4, "kube-controller-manager")
    with pytest.raises(Conflict) as raised:
        api.cluster.apply(ours, manager=TRIMTAB, force=False)
    known = "kube-controller-manager" if api.current else "kubectl"  # scale is tracked since 1.22
    assert raised.value.owners == ((known, ".spec.replicas"),)


def test_force_takes_the_field_over(api: Api) -> None:
    api.create(api.deployment("forced", replicas=3), "kubectl")
    applied = api.cluster.apply(api.partial("forced", {"replicas": 5}), manager=TRIMTAB, force=True)
    assert applied["spec"]["replicas"] == 5
    assert managers_of(applied, "spec", "replicas") == {TRIMTAB}
    assert managers_of(applied, *CPU) == {"kubectl"}, "the rest stays theirs"


def test_the_same_value_is_owned_together_without_force(api: Api) -> None:
    api.create(api.deployment("together", replicas=3), "kubectl")
    applied = api.cluster.apply(api.partial("together", {"replicas": 3}), manager=TRIMTAB, force=False)
    assert managers_of(applied, "spec", "replicas") == {TRIMTAB, "kubectl"}


def test_a_person_who_changes_our_field_takes_it(api: Api) -> None:
    api.create(api.deployment("taken"), "kubectl")
    ours = api.partial("taken", {"replicas": 5})
    api.cluster.apply(ours, manager=TRIMTAB, force=True)
    edited = api.cluster.patch(ObjectKey.of(ours), {"spec": {"replicas": 2}}, strategic=False, manager="kubectl-edit")
    assert managers_of(edited, "spec", "replicas") == {"kubectl-edit"}
    with pytest.raises(Conflict) as raised:
        api.cluster.apply(ours, manager=TRIMTAB, force=False)
    assert raised.value.owners == (("kubectl-edit", ".spec.replicas"),)


def test_a_replace_takes_what_it_changes_only(api: Api) -> None:
    api.create(api.deployment("replaced", replicas=3), "kubectl")
    ours = api.partial("replaced", {"replicas": 3, **cpu_of("server", "200m")})
    now = api.cluster.apply(ours, manager=TRIMTAB, force=True)
    del now["metadata"]["managedFields"], now["metadata"]["resourceVersion"]
    now["spec"]["replicas"] = 4
    replaced = api.replace(now, "kubectl-replace")
    assert managers_of(replaced, "spec", "replicas") == {"kubectl-replace"}
    assert managers_of(replaced, *CPU) == {TRIMTAB}


# -- Letting go ----------------------------------------------------------------------------------------------------------


def test_a_released_field_falls_to_its_default(api: Api) -> None:
    api.create(api.deployment("released", replicas=3), "kubectl")
    ours = api.partial("released", {"replicas": 5, **cpu_of("server", "200m")})
    api.cluster.apply(ours, manager=TRIMTAB, force=True)
    applied = api.cluster.apply(api.partial("released", cpu_of("server", "200m")), manager=TRIMTAB, force=True)
    assert applied["spec"]["replicas"] == 1, "not 3: that is why the value is handed back first"
    gone = api.cluster.apply(api.partial("released", {"minReadySeconds": 0}), manager=TRIMTAB, force=True)
    assert container_in(gone, "server")["resources"] == {"requests": {"memory": "64Mi"}}
    assert container_in(gone, "server")["image"] == "example.invalid/server:1"


def test_a_released_field_that_another_owns_too_stays(api: Api) -> None:
    api.create(api.deployment("shared", replicas=3), "kubectl")
    api.cluster.apply(api.partial("shared", {"replicas": 3, "minReadySeconds": 1}), manager=TRIMTAB, force=False)
    applied = api.cluster.apply(api.partial("shared", {"minReadySeconds": 1}), manager=TRIMTAB, force=False)
    assert applied["spec"]["replicas"] == 3
    assert managers_of(applied, "spec", "replicas") == {"kubectl"}


def test_a_value_handed_back_first_survives_the_release(api: Api) -> None:
    api.create(api.deployment("back", replicas=3), "kubectl")
    ours = api.partial("back", {"replicas": 5, **cpu_of("server", "200m")})
    api.cluster.apply(ours, manager=TRIMTAB, force=True)
    api.cluster.patch(ObjectKey.of(ours), {"spec": {"replicas": 3}}, strategic=False, manager="trimtab-handback")
    applied = api.cluster.apply(api.partial("back", cpu_of("server", "200m")), manager=TRIMTAB, force=True)
    assert applied["spec"]["replicas"] == 3
    assert managers_of(applied, "spec", "replicas") == {"trimtab-handback"}


def test_a_patch_that_changes_nothing_takes_nothing(api: Api) -> None:
    api.create(api.deployment("nothing", replicas=3), "kubectl")
    ours = api.partial("nothing", {"replicas": 5})
    api.cluster.apply(ours, manager=TRIMTAB, force=True)
    same = api.cluster.patch(ObjectKey.of(ours), {"spec": {"replicas": 5}}, strategic=False, manager="trimtab-handback")
    assert managers_of(same, "spec", "replicas") == {TRIMTAB}, "so handing back an equal value needs an apply"
    api.cluster.apply(ours, manager="trimtab-handback", force=False)
    applied = api.cluster.apply(api.partial("nothing", {"minReadySeconds": 1}), manager=TRIMTAB, force=True)
    assert applied["spec"]["replicas"] == 5


def test_two_partials_of_one_object_undo_each_other(api: Api) -> None:
    api.create(api.deployment("undone"), "kubectl")
    api.cluster.apply(api.partial("undone", {"minReadySeconds": 7}), manager=TRIMTAB, force=True)
    applied = api.cluster.apply(api.partial("undone", {"replicas": 2}), manager=TRIMTAB, force=True)
    assert "minReadySeconds" not in applied["spec"]


def test_an_applied_object_forgets_what_it_no_longer_lists(api: Api) -> None:
    api.cluster.apply(api.config("forgets", old="1", kept="1"), manager=TRIMTAB, force=False)
    api.cluster.apply({**api.config("forgets"), "data": {"theirs": "1"}}, manager="argocd-controller", force=False)
    applied = api.cluster.apply(api.config("forgets", kept="1"), manager=TRIMTAB, force=False)
    assert applied["data"] == {"kept": "1", "theirs": "1"}


def test_a_container_that_an_applier_drops_goes_unless_another_names_it(api: Api) -> None:
    whole = api.deployment("containers")
    api.cluster.apply(whole, manager="argocd-controller", force=False)
    api.cluster.apply(api.partial("containers", cpu_of("sidecar", "10m")), manager=TRIMTAB, force=False)
    whole["spec"]["template"]["spec"]["containers"].pop()
    with pytest.raises(Invalid, match=r"containers\[1\]\.image: Required value"):
        api.cluster.apply(whole, manager="argocd-controller", force=False)
    api.cluster.apply(api.partial("containers", {"minReadySeconds": 1}), manager=TRIMTAB, force=False)
    applied = api.cluster.apply(whole, manager="argocd-controller", force=False)
    assert [each["name"] for each in applied["spec"]["template"]["spec"]["containers"]] == ["server"]


# -- Quotas and autoscalers ----------------------------------------------------------------------------------------------


def test_each_key_of_a_quota_has_its_own_owner(api: Api) -> None:
    api.create(api.quota("each", requests_cpu="4", requests_memory="8Gi"), "kubectl")
    applied = api.cluster.apply(api.quota("each", requests_cpu="6"), manager=TRIMTAB, force=True)
    assert applied["spec"]["hard"] == {"requests.cpu": "6", "requests.memory": "8Gi"}
    assert managers_of(applied, "spec", "hard", "requests.memory") == {"kubectl"}


def test_a_partial_of_a_quota_that_is_missing_creates_it_unless_it_names_a_uid(api: Api) -> None:
    named = api.quota("unseen", requests_cpu="4")
    named["metadata"]["uid"] = "11111111-2222-3333-4444-555555555555"
    with pytest.raises(Conflict):
        api.cluster.apply(named, manager=TRIMTAB, force=True)
    assert api.cluster.get(ObjectKey.of(named)) is None
    assert api.cluster.apply(api.quota("unseen", requests_cpu="4"), manager=TRIMTAB, force=True)["metadata"]["uid"]


def test_an_autoscaler_is_applied_whole_and_checked(api: Api) -> None:
    if not api.current:
        with pytest.raises(NoSuchKind):
            list(api.cluster.list("autoscaling/v2", "HorizontalPodAutoscaler"))
        return
    target = {"type": "Utilization", "averageUtilization": 60}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nobody"},
        "maxReplicas": 9,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
    }
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": api.namespace},
        "spec": spec,
    }
    applied = api.cluster.apply(hpa, manager=TRIMTAB, force=True)
    assert (applied["spec"]["minReplicas"], applied["spec"]["maxReplicas"]) == (1, 9)
    assert managers_of(applied, "spec", "minReplicas") == set()
    assert applied["spec"]["behavior"]["scaleUp"]["selectPolicy"] == "Max"
    spec["minReplicas"] = 20
    with pytest.raises(Invalid, match="maxReplicas"):
        api.cluster.apply(hpa, manager=TRIMTAB, force=True)


# -- Preconditions, dry runs ---------------------------------------------------------------------------------------------


def test_the_uid_says_which_object_is_meant(api: Api) -> None:
    made = api.create(api.deployment("uid"), "kubectl")
    right = api.partial("uid", {"replicas": 2}, uid=made["metadata"]["uid"])
    assert api.cluster.apply(right, manager=TRIMTAB, force=True)["spec"]["replicas"] == 2
    wrong = api.partial("uid", {"replicas": 4}, uid="11111111-2222-3333-4444-555555555555")
    with pytest.raises(Conflict) as raised:
        api.cluster.apply(wrong, manager=TRIMTAB, force=True)
    assert raised.value.owners == () and "11111111" in raised.value.message
    assert api.read(right)["spec"]["replicas"] == 2


def test_a_dry_run_tells_and_does_nothing(api: Api) -> None:
    api.create(api.deployment("dry", replicas=3), "kubectl")
    ours = api.partial("dry", {"replicas": 5})
    with pytest.raises(Conflict):
        api.cluster.apply(ours, manager=TRIMTAB, force=False, dry_run=True)
    would = api.cluster.apply(ours, manager=TRIMTAB, force=True, dry_run=True)
    assert would["spec"]["replicas"] == 5 and managers_of(would, "spec", "replicas") == {TRIMTAB}
    patched = api.cluster.patch(
        ObjectKey.of(ours), {"spec": {"replicas": 6}}, strategic=True, manager="x", dry_run=True
    )
    assert patched["spec"]["replicas"] == 6
    assert api.read(ours)["spec"]["replicas"] == 3
    assert api.cluster.apply(api.config("dry-new"), manager=TRIMTAB, force=True, dry_run=True)["metadata"]["name"]
    assert api.cluster.get(api.key("ConfigMap", "dry-new", "v1")) is None


# -- Patches and deletes -------------------------------------------------------------------------------------------------


def test_a_strategic_patch_finds_containers_by_name_and_a_merge_patch_replaces_the_list(api: Api) -> None:
    made = api.create(api.deployment("patched"), "kubectl")
    change = {"spec": cpu_of("server", "300m")}
    patched = api.cluster.patch(ObjectKey.of(made), change, strategic=True, manager="trimtab-handback")
    assert container_in(patched, "server")["resources"]["requests"] == {"cpu": "300m", "memory": "64Mi"}
    assert container_in(patched, "sidecar")["image"] == "example.invalid/sidecar:1"
    with pytest.raises(Invalid, match="image: Required value"):
        api.cluster.patch(ObjectKey.of(made), change, strategic=False, manager="trimtab-handback")


def test_a_null_in_a_patch_removes(api: Api) -> None:
    made = api.create(api.config("null", one="1", two="2"), "kubectl")
    patched = api.cluster.patch(ObjectKey.of(made), {"data": {"one": None}}, strategic=False, manager="kubectl")
    assert patched["data"] == {"two": "2"}


def test_a_patch_of_nothing_is_said(api: Api) -> None:
    with pytest.raises(Missing, match='"nobody" not found'):
        api.cluster.patch(api.key("Deployment", "nobody"), {"spec": {}}, strategic=True, manager=TRIMTAB)


def test_delete_takes_only_the_object_that_is_meant(api: Api) -> None:
    made = api.cluster.apply(api.config("deleted", one="1"), manager=TRIMTAB, force=False)
    key, uid = ObjectKey.of(made), made["metadata"]["uid"]
    with pytest.raises(Conflict) as raised:
        api.cluster.delete(key, uid="11111111-2222-3333-4444-555555555555")
    assert raised.value.owners == ()
    api.cluster.delete(key, uid=uid, dry_run=True)
    assert api.cluster.get(key) is not None
    api.cluster.delete(key, uid=uid)
    assert api.cluster.get(key) is None
    api.cluster.delete(key, uid=uid)
