"""Small fleet repos: as little as a pass commits something to."""

from pathlib import Path

from support.fleets import FleetRepo, fleet_yaml, new_fleet, policy

ROOT = "clusters/prod"


def deployment(name: str = "web", namespace: str = "shop") -> str:
    """A Deployment that requests 100m and 64Mi, and leaves its replicas to an HPA."""
    placed = f"{{name: {name}, namespace: {namespace}}}" if namespace else f"{{name: {name}}}"
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {placed}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
        - name: server
          image: {name}
          resources: {{requests: {{cpu: 100m, memory: 64Mi}}}}
"""


def root_files(root: str = ROOT, *names: str, namespace: str = "shop") -> dict[str, str]:
    """A root with the component and, one level down, a Deployment of each name (``web`` without any)."""
    named = names or ("web",)
    return {
        f"{root}/kustomization.yaml": "resources: [apps]\ncomponents: [trimtab]\n",
        f"{root}/trimtab/kustomization.yaml": (
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: []\n"
        ),
        f"{root}/apps/kustomization.yaml": f"resources: [{', '.join(f'{name}.yaml' for name in named)}]\n",
        **{f"{root}/apps/{name}.yaml": deployment(name, namespace) for name in named},
    }


def small_fleet(home: Path, *, organization: str = "acme", cluster: str = "prod", extra: str = "") -> FleetRepo:
    """One Deployment, and a policy whose HPA the first pass commits."""
    declared = fleet_yaml(f"{{name: {cluster}, path: {ROOT}}}", extra=extra)
    files = {
        "trimtab.yaml": declared.replace("{name: acme}", f"{{name: {organization}}}"),
        **root_files(namespace=""),
        "policies/web.yaml": policy("web", "default/web"),
    }
    return new_fleet(home, files)
