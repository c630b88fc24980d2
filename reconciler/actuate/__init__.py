"""Actuate: what no Argo CD or Flux brings about. Takes what a commit says; gives what agents and hosts are told.

Nothing here is done without a commit: the desired state is read from Git, commands and calls follow what has landed.
``containers``: a group's file, its hosts and what they were told last → one ``docker.scale`` for each host that differs.
Modules are pure or work on what they are given; none keeps state between calls.
"""
