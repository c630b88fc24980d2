"""Second stage: what should be. Pure: values and an instant in, proposals out; never reads, writes or asks the time.

``filters.parse(text) -> Filter`` (Kubecost allocation language, lark grammar; :class:`FilterError` has the column) and
``Filter.matches(subject: FilterSubject) -> bool``.
``scaling``: HPAs from policy fields, forecast of replicas, node pressure.
``sizing``: recommendations from usage summaries, OOM records, LimitRanges, nodes and HPAs; then proposals of request edits.
``quota``, ``turndown``: proposals for ResourceQuotas and namespaces.
``refusals``: whether a value was refused before and would not differ by 20 % now.
``arbitration.one_winner_per_field(proposals) -> proposals``: policy before action, older action (by name) before newer.
"""
