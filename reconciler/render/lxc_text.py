"""LXCContainer files, ``lxc/<node>/<vmid>.yaml``, as text."""

from collections.abc import Mapping

from reconciler.errors import InputError, Where
from reconciler.manifests import lxc_container
from reconciler.manifests.lxc_container import NODE
from reconciler.model.lxc_container import LXCContainer
from reconciler.render.own_text import OwnForm


def _made(path: str, values: Mapping[str, str]) -> LXCContainer:
    key = lxc_container.key_of(path)
    if key is None:
        raise InputError("not the path of an LXC container", where=Where(path))
    return lxc_container.container_from(key, values)


LXC = OwnForm(
    template="lxccontainer.yaml.j2",
    variables=frozenset({"node", "vmid", "cores", "memory_mb", "rootfs_gb", "hostname", "policy"}),
    first=NODE,
    parse=lambda text, path: lxc_container.parse(text, path=path),
    fields_of=lxc_container.fields_of,
    made=_made,
)

lxc_text = LXC.text
