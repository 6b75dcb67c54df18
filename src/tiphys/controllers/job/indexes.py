"""
Sets of completion indexes, written as Kubernetes writes them: `0,2-4,7`.

A Job may have 100,000 indexes, so a set is a sorted tuple of intervals (first, last) that do not touch, and never a set
of numbers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

Intervals = tuple[tuple[int, int], ...]


def parse(text: str, below: int) -> Intervals:
    """The indexes that `text` names and that are lower than `below`: a Job may have shrunk."""
    found: list[tuple[int, int]] = []
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        start, end = int(first), min(int(last or first), below - 1)
        if start <= end:
            found.append((start, end))
    return union(found)


def text_of(intervals: Intervals) -> str:
    """Two neighbours stand with a comma between them, three and more with a hyphen."""
    parts = []
    for first, last in intervals:
        separator = "," if last == first + 1 else "-"
        parts.append(str(first) if first == last else f"{first}{separator}{last}")
    return ",".join(parts)


def with_indexes(intervals: Intervals, indexes: Iterable[int]) -> Intervals:
    """The set with more indexes."""
    fresh = [(index, index) for index in indexes]
    return union([*intervals, *fresh]) if fresh else intervals


def total(intervals: Intervals) -> int:
    """How many indexes there are."""
    return sum(last - first + 1 for first, last in intervals)


def has(intervals: Intervals, index: int) -> bool:
    """Whether the index is one of them."""
    place = bisect_right(intervals, index, key=lambda interval: interval[0]) - 1
    return place >= 0 and intervals[place][1] >= index


def common(left: Intervals, right: Intervals) -> int:
    """How many indexes are in both."""
    count = i = j = 0
    while i < len(left) and j < len(right):
        first, last = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        count += max(last - first + 1, 0)
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return count


def first_missing(taken: Intervals, count: int, below: int) -> list[int]:
    """The lowest `count` indexes under `below` that are not taken."""
    found: list[int] = []
    start = 0
    for first, last in (*taken, (below, below)):
        found += range(start, min(first, below, start + count - len(found)))
        start = max(start, last + 1)
        if len(found) >= count:
            break
    return found


def union(intervals: Sequence[tuple[int, int]]) -> Intervals:
    """One set of intervals that may touch and overlap."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)
