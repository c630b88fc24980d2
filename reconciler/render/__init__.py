"""Fourth stage: decisions → bytes and words. Pure: a tree's files and decisions in, files and a commit message out.

``files.apply_edits(current: Mapping[str, bytes], edits, templates) -> dict[str, bytes | None]``: machine-owned files are
made whole from their values by a template; people's files are spliced; a component's kustomization.yaml is generated
anew whenever the set of files beside it changes. The same inputs give the same bytes.
``message``: subject ≤ 72 characters, body, trailers. ``templates``: Jinja2, sandboxed; a fleet repo may override one.
``verify``: what a root's build, with and without our component, must and must not differ in.
"""
