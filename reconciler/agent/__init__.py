"""The agent: a process beside what it watches. It only dials out, and talks to the server by HTTP alone.

``link`` is the way to the server: register, push, pull, report. ``pace`` says when to try again. ``kubernetes`` and
``docker`` are the two platforms; neither knows the other. Nothing here changes a cluster or a host but what a commit says.
"""
