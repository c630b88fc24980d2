"""Sets of time as streams of ``(start, end)``, closed at the start and open at the end, in seconds since 1970 UTC.

Every stream is sorted, its intervals are disjoint and do not touch. Streams are lazy: asking for the next opening reads
no further than that opening.
"""

import heapq
from collections.abc import Callable, Iterator

Interval = tuple[int, int]


def union(*streams: Iterator[Interval]) -> Iterator[Interval]:
    """What is in any stream. The streams need only be sorted by start; what overlaps or touches becomes one."""
    merged = streams[0] if len(streams) == 1 else heapq.merge(*streams)
    start, end = next(merged, (0, 0))
    for next_start, next_end in merged:
        if next_start <= end:
            end = max(end, next_end)
        else:
            yield start, end
            start, end = next_start, next_end
    if start < end:
        yield start, end


def intersection(one: Iterator[Interval], other: Iterator[Interval]) -> Iterator[Interval]:
    """What is in both. Ends as soon as either does."""
    a, b = next(one, None), next(other, None)
    while a is not None and b is not None:
        start, end = max(a[0], b[0]), min(a[1], b[1])
        if start < end:
            yield start, end
        if a[1] <= b[1]:
            a = next(one, None)
        else:
            b = next(other, None)


def complement(stream: Iterator[Interval], low: int, high: int) -> Iterator[Interval]:
    """What of ``[low, high)`` is not in the stream."""
    free = low
    for start, end in stream:
        if free < start:
            yield free, start
        free = end
    if free < high:
        yield free, high


def start_of(stream: Callable[[int, int], Iterator[Interval]], at: int, look_back: int) -> int | None:
    """Where the interval that contains ``at`` starts, looking back ``look_back`` seconds at most.

    ``stream(low, high)`` gives the intervals clipped to ``[low, high)``. None when ``at`` is in no interval, or when
    the start lies further back. Looks back in growing steps, for most stretches started a short while ago.
    """
    step = 86_400
    while True:
        low = at - min(step, look_back)
        start, end = low, low
        for interval in stream(low, at + 1):
            start, end = interval
        if end <= at:
            return None
        if start > low:
            return start
        if step >= look_back:
            return None
        step *= 4
