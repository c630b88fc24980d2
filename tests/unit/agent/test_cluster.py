"""The way to a cluster when things go wrong: too many requests, expired lists, a server that is away, new tokens."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from reconciler.agent.kubernetes.cluster import (
    Cluster,
    Conflict,
    Denied,
    Invalid,
    Missing,
    NoSuchKind,
    ObjectKey,
    Throttled,
    Unreachable,
)
from reconciler.errors import Stalled
from support.kube_double import KubeDouble, kube_double

WEB = ObjectKey("v1", "ConfigMap", "shop", "web")


def config(name: str, **data: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


@pytest.fixture(scope="module")
def running() -> Iterator[KubeDouble]:
    with kube_double() as double:
        yield double


@pytest.fixture
def double(running: KubeDouble) -> Iterator[KubeDouble]:
    for each in running.all("ConfigMap"):
        running.drop("ConfigMap", each["metadata"]["namespace"], each["metadata"]["name"])
    running.put(config("web", colour="blue"))
    running.requests.clear()
    yield running
    running.heal()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def cluster(double: KubeDouble, waits: list[float]) -> Iterator[Cluster]:
    opened = Cluster.open(kubeconfig=str(double.kubeconfig), sleep=waits.append)
    yield opened
    opened.close()


# -- Asking again --------------------------------------------------------------------------------------------------------


def test_too_many_requests_are_asked_again_after_as_long_as_the_server_says(
    double: KubeDouble, cluster: Cluster, waits: list[float]
) -> None:
    double.fail("get", "ConfigMap", 429, times=3, retry_after=2)
    assert cluster.get(WEB) is not None
    assert waits == [2, 2, 2]


def test_after_four_times_it_is_for_later(double: KubeDouble, cluster: Cluster, waits: list[float]) -> None:
    double.fail("apply", "ConfigMap", 429, times=None, retry_after=3)
    with pytest.raises(Throttled) as raised:
        cluster.apply(config("web", colour="red"), manager="trimtab", force=True)
    assert raised.value.after_seconds == 3 and "too many requests" in raised.value.message
    assert len(waits) == 3 and len(double.asked("apply")) == 4


def test_nobody_waits_a_minute_inside_a_pass(double: KubeDouble, cluster: Cluster, waits: list[float]) -> None:
    double.fail("get", "ConfigMap", 429, retry_after=60)
    with pytest.raises(Throttled) as raised:
        cluster.get(WEB)
    assert raised.value.after_seconds == 60 and waits == []


def test_a_connection_that_breaks_is_tried_once_more(double: KubeDouble, cluster: Cluster) -> None:
    double.fail("get", "ConfigMap", 0)
    assert cluster.get(WEB) is not None
    double.fail("get", "ConfigMap", 0, times=2)
    with pytest.raises(Unreachable, match="does not answer"):
        cluster.get(WEB)


def test_a_server_that_is_away_is_for_later_and_found_again(double: KubeDouble, cluster: Cluster) -> None:
    assert cluster.get(WEB) is not None
    double.down()
    try:
        with pytest.raises(Unreachable, match="does not answer") as raised:
            cluster.get(WEB)
        assert "server in the kubeconfig" in raised.value.hint
    finally:
        double.up()
    assert cluster.get(WEB) is not None


@pytest.mark.parametrize("status", [500, 503, 504])
def test_a_server_in_trouble_is_for_later(double: KubeDouble, cluster: Cluster, status: int) -> None:
    double.fail("list", "ConfigMap", status, retry_after=7)
    with pytest.raises(Unreachable) as raised:
        list(cluster.list("v1", "ConfigMap"))
    assert raised.value.after_seconds == 7


# -- Lists ---------------------------------------------------------------------------------------------------------------


def test_a_list_that_expires_starts_over_and_names_each_once(double: KubeDouble, cluster: Cluster) -> None:
    names = [f"c-{number:02}" for number in range(10)]
    for name in names:
        double.put(config(name))
    seen = []
    for number, each in enumerate(cluster.list("v1", "ConfigMap", limit=3)):
        seen.append(each["metadata"]["name"])
        if number in (2, 4):
            double.expire_lists()
            double.put(config("a-new"))
    assert sorted(seen) == sorted([*names, "web", "a-new"])
    assert {each.status for each in double.asked("list")} == {200, 410}


def test_a_list_that_expires_again_and_again_is_asked_for_in_one_piece(double: KubeDouble, cluster: Cluster) -> None:
    for number in range(6):
        double.put(config(f"c-{number}"))
    seen = []
    for each in cluster.list("v1", "ConfigMap", limit=2):
        seen.append(each["metadata"]["name"])
        double.expire_lists()
    assert len(seen) == len(set(seen)) == 7
    asked = double.asked("list")
    assert asked[-1].query == {} and asked[-1].status == 200


def test_a_page_holds_what_was_asked_for(double: KubeDouble, cluster: Cluster) -> None:
    for number in range(5):
        double.put(config(f"c-{number}"))
    assert len(list(cluster.list("v1", "ConfigMap", limit=2))) == 6
    assert [each.query.get("limit") for each in double.asked("list")] == ["2", "2", "2"]


# -- Kinds ---------------------------------------------------------------------------------------------------------------


def test_kinds_are_discovered_once_and_again_when_one_is_missing(double: KubeDouble, cluster: Cluster) -> None:
    assert not cluster.serves("argoproj.io/v1alpha1", "Rollout")
    with pytest.raises(NoSuchKind, match="Rollout of argoproj.io/v1alpha1") as raised:
        list(cluster.list("argoproj.io/v1alpha1", "Rollout"))
    assert "CustomResourceDefinition" in raised.value.hint
    double.install("argoproj.io/v1alpha1", "Rollout", "rollouts")
    assert list(cluster.list("argoproj.io/v1alpha1", "Rollout")) == []
    double.requests.clear()
    assert list(cluster.list("argoproj.io/v1alpha1", "Rollout")) == []
    assert [each.verb for each in double.requests] == ["list"]
    double.uninstall("argoproj.io/v1alpha1", "Rollout")


def test_a_kind_that_an_old_kubernetes_lacks_is_said_to_come_with_a_newer_one(
    double: KubeDouble, cluster: Cluster
) -> None:
    double.uninstall("autoscaling/v2", "HorizontalPodAutoscaler")
    with pytest.raises(NoSuchKind) as raised:
        list(cluster.list("autoscaling/v2", "HorizontalPodAutoscaler"))
    assert "1.23" in raised.value.hint and "CustomResourceDefinition" not in raised.value.hint


def test_a_kind_that_goes_away_is_noticed(double: KubeDouble, cluster: Cluster) -> None:
    key = ObjectKey("argoproj.io/v1alpha1", "Rollout", "shop", "web")
    rollout = {"apiVersion": key.api_version, "kind": key.kind, "metadata": {"name": "web", "namespace": "shop"}}
    for use in (
        lambda: list(cluster.list(key.api_version, key.kind)),
        lambda: cluster.get(key),
        lambda: cluster.apply(rollout, manager="trimtab", force=True),
    ):
        double.install(key.api_version, key.kind, "rollouts")
        assert cluster.get(key) is None
        double.uninstall(key.api_version, key.kind)
        with pytest.raises(NoSuchKind):
            use()


# -- What the server says ------------------------------------------------------------------------------------------------


def test_what_is_forbidden_says_who_may_not_do_what_and_what_to_do(double: KubeDouble, cluster: Cluster) -> None:
    double.fail("apply", "ConfigMap", 403)
    with pytest.raises(Denied, match='cannot patch resource "configmaps"') as raised:
        cluster.apply(config("web"), manager="trimtab", force=True)
    assert "ClusterRole" in raised.value.hint


def test_a_conflict_over_the_whole_object_has_no_owners(double: KubeDouble, cluster: Cluster) -> None:
    stale = config("web", colour="red")
    stale["metadata"]["resourceVersion"] = "1"
    with pytest.raises(Conflict, match="has been modified") as raised:
        cluster.apply(stale, manager="trimtab", force=True)
    assert raised.value.owners == ()


def test_owners_with_odd_names_are_read(double: KubeDouble, cluster: Cluster) -> None:
    double.apply(config("odd", colour="blue"), manager='it "says" \\ ok')
    double.edit("ConfigMap", "shop", "odd", {"data": {"size": "1"}}, manager="kubectl-edit")
    with pytest.raises(Conflict) as raised:
        cluster.apply(config("odd", colour="red", size="2"), manager="trimtab", force=False)
    assert set(raised.value.owners) == {('it "says" \\ ok', ".data.colour"), ("kubectl-edit", ".data.size")}


def test_what_nobody_was_noted_for_belongs_to_before_first_apply(double: KubeDouble, cluster: Cluster) -> None:
    with pytest.raises(Conflict) as raised:
        cluster.apply(config("web", colour="red"), manager="trimtab", force=False)
    assert raised.value.owners == (("before-first-apply", ".data.colour"),)


def test_what_is_no_json_is_said_to_be_no_api_server(tmp_path: Path) -> None:
    with page("<html>Please log in</html>") as url:
        file = tmp_path / "kubeconfig"
        file.write_text(kubeconfig(url, {"token": "t"}))
        cluster = Cluster.open(kubeconfig=str(file))
        with pytest.raises(Unreachable, match="no API server") as raised:
            cluster.get(WEB)
        cluster.close()
    assert "proxy" in raised.value.hint


def test_missing_is_not_invalid(double: KubeDouble, cluster: Cluster) -> None:
    with pytest.raises(Missing):
        cluster.patch(ObjectKey("v1", "ConfigMap", "shop", "none"), {"data": {}}, strategic=False, manager="trimtab")
    with pytest.raises(Invalid):
        cluster.apply(config("web") | {"nonsense": 1}, manager="trimtab", force=True)


# -- Who we are ----------------------------------------------------------------------------------------------------------


def test_a_token_that_was_replaced_in_the_kubeconfig_is_read_again(double: KubeDouble, cluster: Cluster) -> None:
    assert cluster.get(WEB) is not None
    double.new_token("second")
    assert cluster.get(WEB) is not None
    assert [each.status for each in double.asked("get")] == [200, 401, 200]


def test_a_token_that_nobody_knows_is_said_with_the_next_step(double: KubeDouble, cluster: Cluster) -> None:
    known = double.token
    double.new_token("third", in_kubeconfig=False)
    with pytest.raises(Denied, match="Unauthorized") as raised:
        cluster.get(WEB)
    double.new_token(known)
    assert "credentials" in raised.value.hint


def test_an_exec_plugin_gives_the_token(double: KubeDouble, tmp_path: Path) -> None:
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": double.token},
    }
    program = tmp_path / "plugin.py"
    program.write_text(f"print({json.dumps(json.dumps(credential))})")
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(program)],
        "interactiveMode": "Never",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(kubeconfig(double.url, {"exec": plugin}))
    cluster = Cluster.open(kubeconfig=str(file))
    assert cluster.get(WEB) is not None
    cluster.close()


def test_a_context_of_the_file_can_be_named(double: KubeDouble, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    config_ = json.loads(kubeconfig("http://127.0.0.1:9", {"token": "no"}))
    config_["clusters"].append({"name": "other", "cluster": {"server": double.url}})
    config_["users"].append({"name": "other", "user": {"token": double.token}})
    config_["contexts"].append({"name": "other", "context": {"cluster": "other", "user": "other"}})
    file.write_text(json.dumps(config_))
    cluster = Cluster.open(kubeconfig=str(file), context="other")
    assert cluster.get(WEB) is not None
    cluster.close()
    with pytest.raises(Stalled, match="nobody"):
        Cluster.open(kubeconfig=str(file), context="nobody")


@pytest.mark.parametrize("text", ["", "[]", "{", "kind: Config", "current-context: [1]\ncontexts: 3"])
def test_a_kubeconfig_that_cannot_be_read_says_what_to_do(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(Stalled, match="no way to a cluster") as raised:
        Cluster.open(kubeconfig=str(file))
    assert "kubeconfig" in raised.value.hint


def test_a_kubeconfig_that_is_not_there_says_so(tmp_path: Path) -> None:
    file = tmp_path / "nothing"
    with pytest.raises(Stalled, match=f"no way to a cluster: there is no file {file}"):
        Cluster.open(kubeconfig=str(file))


def test_a_certificate_that_does_not_verify_names_what_to_check(tmp_path: Path) -> None:
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=elsewhere"]
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with page("{}", certificate=certificate, key=key) as url:
        file = tmp_path / "kubeconfig"
        file.write_text(kubeconfig(url, {"token": "t"}))
        cluster = Cluster.open(kubeconfig=str(file))
        with pytest.raises(Unreachable, match=r"(?i)certificate") as raised:
            cluster.get(WEB)
        cluster.close()
    assert "certificate-authority" in raised.value.hint


def kubeconfig(url: str, user: dict[str, Any]) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "one",
            "clusters": [{"name": "one", "cluster": {"server": url}}],
            "users": [{"name": "one", "user": user}],
            "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        }
    )


class page:  # noqa: N801 - reads as a function where it is used
    """A server that answers everything with one text."""

    def __init__(self, text: str, *, certificate: Path | None = None, key: Path | None = None) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        if certificate is not None:
            import ssl

            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.scheme = "https"

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return f"{self.scheme}://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class Quiet(HTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A handshake that failed is what the test is about."""
