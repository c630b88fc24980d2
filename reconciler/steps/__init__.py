"""The steps of a pass: each wires one stage to the repository, the store and the settings of one fleet.

A step knows its stage and nothing of the order; :mod:`reconciler.loop` puts them one after the other.
"""
