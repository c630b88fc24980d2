"""First stage: what is. Reads a commit's tree, usage files and pushes into values; decides nothing.

``git_state.read_fleet(tree) -> FleetState`` (trimtab.yaml, policies, actions; problems by file, line, field; only a
broken trimtab.yaml raises :class:`~reconciler.errors.Stalled`).
``inventory.read_root(tree, cluster, root, *, build) -> RootState``: plain kustomizations are resolved here; any other is
built by ``build`` (kustomize), once per content.
``kustomize.Builder``: materializes a tree (only what changed) and runs ``kustomize build``; finds kustomize or kubectl.
``usage_import``: CSV and push bodies → samples and observations, row by row, with the line of each bad row.
``prometheus.Prometheus``: a server with Prometheus' API; ``prometheus_usage.pull`` gives a stretch of a cluster's history,
``prometheus_owners`` whose its pods are, ``prometheus_reach`` how much of it is asked for at a time.
``sample_usage``: the seeded usage of the demo.

Safe to call from several threads as long as each has its own ``Builder``.
"""
