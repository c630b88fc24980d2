"""Trimtab: a GitOps reconciler for capacity.

observe → evaluate → gate → render → commit → actuate → report. Each stage is a package that knows only
:mod:`reconciler.model`; :mod:`reconciler.loop` is the one place that knows their order.
"""

__version__ = "0.1.0"
