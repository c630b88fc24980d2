"""Pure text → text YAML work, and YAML → values. No I/O, no clock.

Modules and what they promise (callers rely on exactly these names):

``yaml_reader``
    ``load_all(text: bytes, *, path: str) -> list[Document]`` with ``Document(index, line, value)``: safe (C) loading of
    every document; duplicate keys, tags, files over 5 MiB, over 100 aliases or nesting over 100 are an
    :class:`~reconciler.errors.InputError` with path, line, column. Blank documents are dropped.
    ``load_config(text: bytes, *, path: str) -> Located``: one document with ruamel.yaml, in which each key and item
    knows its line and column: ``Located(value, where: Callable[[tuple[str | int, ...]], Where])``.
``splice``
    ``set_scalars(text: bytes, document: int, sets: Mapping[tuple[str, ...], str], *, path: str) -> bytes``: change, or
    add, scalars at key paths (an item of a list of mappings is named by its ``name``); every other byte stays: comments,
    quotes, order, line endings, indentation, BOM. Missing mappings are added in the indentation style of their siblings.
    ``remove_keys(text, document, keys: Iterable[tuple[str, ...]], *, path) -> bytes``.
    ``find_scalar(text, document, key, *, path) -> Found | None`` with ``Found(value, line, column)``.
``workloads``
    ``parse_objects(documents, *, path) -> Objects``: typed objects of one file (workloads, HPAs, NodePools, quotas,
    LimitRanges, ScaledObjects, namespaces), before any transformer, plus problems (quantities that are none, …).
``kustomization``
    ``parse_kustomization(text: bytes, *, path) -> Kustomization``; ``is_plain`` = only fields whose effect on names,
    namespaces and sizes Trimtab works out by itself (resources, namespace, namePrefix, nameSuffix, labels, images, …).
    ``root_refusal(kustomization) -> str``: why a root cannot carry the component ("" when it can).
    ``component_text(files: Mapping[str, MachineFile], *, use_targets: bool) -> str``: the generated
    ``<root>/trimtab/kustomization.yaml``, sorted, from the paths (relative to the component) of the files beside it.
``machine_files``
    ``parse(text: bytes, *, path: str) -> MachineFile`` and ``path_for(overlay, form, target, live_namespace) -> str``.
"""
