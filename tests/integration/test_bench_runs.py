"""`make bench` prints a ratio for everything that it measures; on tiny sizes, and without looking at the times."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def test_every_measure_runs_and_prints_what_is_wanted() -> None:
    words = [sys.executable, "-m", "bench", "--quick"]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for heading in (
        "writer",
        "usage",
        "passes",
        "plan",
        "push",
        "desired",
        "polls",
        "prometheus",
        "recommendations",
        "agent",
    ):
        assert f"== {heading}" in done.stdout
    for words_of in (
        "raw fast-import",
        "first pass of the process",
        "largest error of a quantile",
        "peak of memory",
        "bytes a series and day",
    ):
        assert words_of in done.stdout, words_of
    assert done.stdout.count("ratio") >= 6


def test_an_unknown_measure_is_said() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "speed"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "speed" in done.stdout
