"""Machine-owned files as values: the one shape in which decisions, rendering and rollback speak of them.

A file under ``<root>/trimtab/`` is an identity plus a flat map ``field → value``. Flat, because a decision, a
rollback and an arbitration all work field by field; text is made from it by a template, and read back into it.
"""

from collections.abc import Mapping
from typing import Literal

from reconciler.model.base import Model
from reconciler.model.workload import ObjectRef

FileForm = Literal["hpa", "requests", "quota", "nodepool", "turndown", "replicas"]


class MachineFile(Model):
    """One machine-owned file.

    Fields by form (values are always text, exactly as they stand in the YAML):

    ``requests``  target = the workload. ``<role>/<container>/<requests|limits>/<cpu|memory>`` → canonical quantity,
                  where role is ``containers`` or ``initContainers``. ``order`` is what the file lists, of kinds that
                  are patched by strategic merge: ``<role>/<container>`` as the manifest has them, with those that are
                  named only to keep its order (:mod:`reconciler.manifests.container_order`). Empty where that is just
                  the sized ones by name.
    ``hpa``       target = the workload that is scaled; the HPA has its name and namespace. ``minReplicas``,
                  ``maxReplicas``; ``metrics/<cpu|memory>`` → ``70%`` (Utilization) or a quantity (AverageValue);
                  ``behavior/<scaleUp|scaleDown>/<stabilizationWindowSeconds|pods|periodSeconds>``; ``policy`` → the
                  policy's id (the annotation ``trimtab.dev/policy``: whose file this is once the policy is gone).
    ``quota``     target = the ResourceQuota. ``hard/<key>`` → canonical quantity.
    ``nodepool``  target = the NodePool. ``limits/<cpu|memory>`` → canonical quantity.
    ``turndown``  target = the Namespace (api_version v1, kind Namespace, name = the live namespace).
                  ``<apiVersion>|<kind>|<namespace or empty>|<name>`` → ``replicas=0`` or ``suspend=true``; ``action`` → the
                  action's id while down. Its path is ``<overlay>/<namespace>/turndown/turndown.yaml``; without values
                  it is not there, and ``kustomization.yaml`` beside it says ``patches: []`` (the namespace is up).
    ``replicas``  target = the workload. ``replicas`` → ``null`` (handed over to the HPA).
    """

    form: FileForm
    target: ObjectRef
    values: Mapping[str, str] = {}
    order: tuple[str, ...] = ()
