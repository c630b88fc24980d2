"""Letting go of fields of people's objects without their values falling to defaults.

A field that its only owner releases is set to its default: replicas fall to 1, requests vanish. So before Trimtab lets go,
another manager is made to own the value that is to stay: the one that Git says without Trimtab's overlay.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from reconciler.agent.kubernetes.cluster import Cluster, Conflict, ObjectKey, built_in
from reconciler.agent.kubernetes.entries import Entry, shown
from reconciler.agent.kubernetes.owning import (
    HANDBACK,
    MANAGER,
    REPLICAS,
    Path,
    dotted,
    identity,
    owned_paths,
    owners_of,
    part_of,
    same,
    value_at,
)
from reconciler.errors import TrimtabError

_BATCH: Final = 200  # objects that the server is asked about at a time
_TRIES: Final = 4
_SIZES: Final = frozenset({"requests", "limits"})

Json = Mapping[str, Any]


class Asks(Protocol):
    """The part of the link to the server that is needed here."""

    def base(self, revision: str, fields: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What Git says of fields without Trimtab's overlay."""


@dataclass(frozen=True)
class Base:
    """What Git says of one object without the overlay. ``found``: whether it is in Git at all."""

    found: bool
    values: Mapping[Path, Any] = field(default_factory=dict)


@dataclass
class Handback:
    """Hands fields back. ``bases`` keeps what the server said of ``revision`` for one step."""

    cluster: Cluster
    link: Asks
    revision: str
    dry_run: bool = False
    bases: dict[ObjectKey, tuple[frozenset[Path], Base]] = field(default_factory=dict)
    refusal: TrimtabError | None = None

    def ask(self, leaving: Mapping[ObjectKey, frozenset[Path]]) -> None:
        """Ask the server about many objects in few requests.

        :raises RetryLater: when it is away; it is then not asked again in this step
        :raises Stalled: when it refuses; likewise
        """
        wanted = [(key, _capacity(paths)) for key, paths in sorted(leaving.items())]
        wanted = [(key, paths) for key, paths in wanted if paths]
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            try:
                answers = self.link.base(self.revision, _fields(batch))
            except TrimtabError as error:
                self.refusal = error  # of no use to ask again for each object: it may take long to be told so
                raise
            told = {ObjectKey.of({**one, "metadata": one}): one for one in answers}
            for key, paths in batch:
                self.bases[key] = (paths, _base(told.get(key)))

    def leave(self, live: Json, going: frozenset[Path], *, scaled: bool, before: int | None) -> list[str]:
        """Make sure that each of ``going``, which Trimtab alone owns in ``live``, has a value that outlives Trimtab's.

        :param scaled: whether an HPA scales the object, so that its replicas are nobody's but the HPA's
        :param before: its replicas before Trimtab took them, None when unknown
        :returns: what was handed back, in words
        """
        alone = frozenset(path for path in going if set(owners_of(live, path)) <= {MANAGER, HANDBACK})
        if not alone:
            return []
        base = self._base_of(ObjectKey.of(live), alone)
        values = {path: _heir(live, path, base, scaled=scaled, before=before) for path in alone}
        moved = {path: value for path, value in values.items() if self._must_write(live, path, value)}
        stays = frozenset(path for path, value in values.items() if value is not None and path not in moved)
        if moved:
            live = self._write(live, moved)
        if stays:
            co_own(self.cluster, live, stays, dry_run=self.dry_run)
        return [f"{dotted(path)}: {_word(value)}" for path, value in sorted(values.items())]

    def _must_write(self, live: Json, path: Path, value: Any) -> bool:
        """Whether letting go is not enough; a value that was handed back before would stay where there is to be none."""
        return HANDBACK in owners_of(live, path) if value is None else not same(value, value_at(live, path))

    def _write(self, live: Json, values: Mapping[Path, Any]) -> Json:
        key = ObjectKey.of(live)
        metadata = {"uid": _uid(live)}  # another object of that name is not what was meant: 409
        body = {"metadata": metadata, **part_of(live, values)}
        strategic = built_in(key.api_version)  # a CustomResourceDefinition has no merge keys
        return self.cluster.patch(key, body, strategic=strategic, manager=HANDBACK, dry_run=self.dry_run)

    def _base_of(self, key: ObjectKey, paths: frozenset[Path]) -> Base:
        capacity = _capacity(paths)
        if capacity and key not in self.bases and self.refusal is not None:
            raise self.refusal
        asked = self.bases.get(key)
        if asked is None or not capacity <= asked[0]:
            self.ask({key: capacity | (asked[0] if asked else frozenset())})
        return self.bases[key][1] if key in self.bases else Base(found=True)


def scale_target(hpa: Json) -> ObjectKey | None:
    """What an HPA scales; None when it does not say."""
    reference = (hpa.get("spec") or {}).get("scaleTargetRef") or {}
    namespace = str(hpa["metadata"].get("namespace") or "")
    if not reference.get("kind") or not reference.get("name"):
        return None
    return ObjectKey(
        str(reference.get("apiVersion") or "apps/v1"), str(reference["kind"]), namespace, str(reference["name"])
    )


def keep_replicas(cluster: Cluster, hpa: Entry, entries: Mapping[ObjectKey, Entry], *, dry_run: bool) -> None:
    """Co-own the live replicas of what an HPA of ours scales, while nobody but appliers owns them.

    A person who takes ``spec.replicas`` out of the manifest, as is right beside an HPA, would else drop the workload to 1.
    """
    key = scale_target(hpa.body)
    if key is None or (key in entries and REPLICAS in entries[key].paths):
        return  # turned down, and Trimtab's own
    live = cluster.get(key)
    if live is None or not value_at(live, REPLICAS):
        return
    owners = owners_of(live, REPLICAS)
    if not owners or HANDBACK in owners or any(owner.endswith("/scale") for owner in owners):
        return
    co_own(cluster, live, frozenset({REPLICAS}), dry_run=dry_run)


def co_own(cluster: Cluster, live: Json, paths: frozenset[Path], *, dry_run: bool) -> None:
    """Own the live values of ``paths`` beside who owns them, by server-side apply as ``trimtab-handback``.

    Never by force: a value that has moved since it was read is read again.

    :raises Conflict: when it moves faster than it can be read
    """
    for left in range(_TRIES - 1, -1, -1):
        kept = paths | owned_paths(live, HANDBACK)  # what an apply leaves out, its manager lets go of
        values = {path: value for path in kept if (value := value_at(live, path)) is not None}
        manifest = {**identity(live), **part_of(live, values)}
        try:
            cluster.apply(manifest, manager=HANDBACK, force=False, dry_run=dry_run)
        except Conflict:
            fresh = cluster.get(ObjectKey.of(live))
            if not left or fresh is None or _uid(fresh) != _uid(live):
                raise
            live = fresh
        else:
            return


def _heir(live: Json, path: Path, base: Base, *, scaled: bool, before: int | None) -> Any:
    """The value to leave behind; None = none, the field goes away with us, as Git has none."""
    now = value_at(live, path)
    told = base.values.get(path)
    if path == REPLICAS:
        if now and (scaled or told is None):
            return now  # the HPA's, or nobody's in Git: it must not fall
        return told if told is not None else before or 1  # asleep, and to wake; 1 is Kubernetes' own default
    if told is not None:
        return told
    if path[-1] == "suspend":
        return False  # Kubernetes' own default
    return None if base.found else now


def _fields(batch: Iterable[tuple[ObjectKey, frozenset[Path]]]) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": key.api_version,
            "kind": key.kind,
            "namespace": key.namespace,
            "name": key.name,
            "paths": sorted(map(list, paths)),
        }
        for key, paths in batch
    ]


def _base(told: Mapping[str, Any] | None) -> Base:
    if told is None or not told.get("found"):
        return Base(found=False)
    values = {tuple(one["path"]): one["value"] for one in told.get("values") or () if one.get("value") is not None}
    return Base(found=True, values=values)


def _capacity(paths: Iterable[Path]) -> frozenset[Path]:
    """Those that the server answers: replicas, suspend, requests, limits, and a quota's or pool's figures."""
    return frozenset(path for path in paths if _is_capacity(path))


def _is_capacity(path: Path) -> bool:
    if path in (REPLICAS, ("spec", "suspend")):
        return True
    if len(path) == 3 and path[0] == "spec" and path[1] in ("hard", "limits"):
        return True
    return len(path) > 3 and path[-3] == "resources" and path[-2] in _SIZES


def _uid(live: Json) -> str:
    return str((live.get("metadata") or {}).get("uid") or "")


def _word(value: Any) -> str:
    return "left to nobody, as Git sets none" if value is None else f"back to {value}"


def described(key: ObjectKey, handed: Sequence[str]) -> str:
    """One line for the log."""
    return f"{shown(key)}: {'; '.join(handed)}"
