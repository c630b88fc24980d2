"""Fourth stage: decisions → bytes and words. Pure: a tree's files and decisions in, files and a commit message out.

``grouping.group_changes(decisions, group_by, *, new_id) -> tuple[Change, ...]``: what shares a commit, in the order in
which it is committed. ``files.apply_edits(view, edits, templates, …) -> AppliedEdits(files, outdated)``: machine-owned
files are made whole from their values by a template (``machine_text``); people's files are spliced (``source_edits``); a
component's kustomization.yaml is generated anew whenever the set of files beside it changes. The same inputs give the
same bytes, and applying them again gives no files. An edit whose ``old`` does not stand there any more is given back.
``message``: subject ≤ 72 characters, body, trailers; the pull request's body. Text from outside adds no line to either.
``templates.Templates``: Jinja2 in a sandbox with a budget; a fleet repo may override one, and is told by file and line
what is wrong with it. ``diff``: what a plan changes, as ``git apply`` takes it.
``verify.check_build(people, built, files)``: what a root's build, with and without our component, must and must not
differ in.

Keeps no state but compiled templates; everything here may be called from several threads.
"""
