"""The smallest fleet repo that a pass commits something to."""

from pathlib import Path

from support.fleets import FleetRepo, fleet_yaml, new_fleet, policy

ROOT = "clusters/prod"
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: nginx
          resources: {requests: {cpu: 100m, memory: 64Mi}}
"""


def small_fleet(home: Path, *, organization: str = "acme", cluster: str = "prod", extra: str = "") -> FleetRepo:
    """One Deployment, and a policy whose HPA the first pass commits."""
    declared = fleet_yaml(f"{{name: {cluster}, path: {ROOT}}}", extra=extra)
    files = {
        "trimtab.yaml": declared.replace("{name: acme}", f"{{name: {organization}}}"),
        f"{ROOT}/kustomization.yaml": "resources: [apps]\ncomponents: [trimtab]\n",
        f"{ROOT}/apps/kustomization.yaml": "resources: [web.yaml]\n",
        f"{ROOT}/apps/web.yaml": WEB,
        f"{ROOT}/trimtab/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: []\n",
        "policies/web.yaml": policy("web", "default/web"),
    }
    return new_fleet(home, files)
