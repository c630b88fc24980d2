"""Usage samples in columns: what imports, pushes and Prometheus give, and what the store folds into sketches."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reconciler.model.observation import SeriesKey


@dataclass(frozen=True, eq=False)
class Samples:
    """``series`` are unique; row *i* is a sample of ``series[index[i]]`` at unix second ``seconds[i]``.

    ``values``: cores for CPU, bytes for memory.
    """

    series: tuple[SeriesKey, ...]
    index: NDArray[np.int64]
    seconds: NDArray[np.int64]
    values: NDArray[np.float64]
