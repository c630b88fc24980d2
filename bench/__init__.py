"""Measures, as ratios against a limit that is taken in the same run. `make bench`."""
