"""ContainerGroup files, ``docker/<host-pool>/<group>.yaml``, as text."""

from collections.abc import Mapping

from reconciler.errors import InputError, Where
from reconciler.manifests import container_group
from reconciler.manifests.container_group import REPLICAS
from reconciler.model.container_group import ContainerGroup
from reconciler.render.own_text import OwnForm


def _made(path: str, values: Mapping[str, str]) -> ContainerGroup:
    key = container_group.key_of(path)
    if key is None:
        raise InputError("not the path of a container group", where=Where(path))
    return container_group.group_from(key, values)


GROUP = OwnForm(
    template="containergroup.yaml.j2",
    variables=frozenset({"host_pool", "name", "replicas", "max_replicas_per_host", "image", "lb_pool_ref", "policy"}),
    first=REPLICAS,
    parse=lambda text, path: container_group.parse(text, path=path),
    fields_of=container_group.fields_of,
    made=_made,
)

group_text = GROUP.text
