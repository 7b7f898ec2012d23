"""A cache that evicts what ranks lowest of a random sample, whose ranks may change with time."""

from __future__ import annotations

import random

from treehouse.platform.replay.cache_policies import HIT, PASSED, STORED


class Sampled:
    """Everything comes in that fits; what leaves may be what has just come.

    Attributes:
        capacity: Bytes.
        sample: Candidates of an eviction, beside what has just come.
    """

    def __init__(self, capacity: int, sample: int) -> None:
        self.capacity, self.sample = capacity, sample
        self.used = 0
        self.kept: dict[int, tuple[int, int, int]] = {}  # latest request, size, slot
        self.slots: list[int] = []  # the same entries, to draw from
        self.draw = random.Random(1).random  # noqa: S311 - a simulation

    def rank(self, latest: int, now: int) -> float:
        """Of an entry by the number of its latest request, when request `now` is answered."""
        raise NotImplementedError

    def ask(self, i: int, entry: int, size: int) -> int:
        kept = self.kept.get(entry)
        if kept:
            self.kept[entry] = (i, *kept[1:])
            return HIT
        if size > self.capacity:
            return PASSED
        self.kept[entry] = (i, size, len(self.slots))
        self.slots.append(entry)
        self.used += size
        while self.used > self.capacity:
            self.drop(self._least(i, entry))
        return STORED if entry in self.kept else PASSED

    def drop(self, entry: int) -> None:
        kept = self.kept.pop(entry, None)
        if kept:
            self.used -= kept[1]
            moved = self.slots.pop()
            if moved != entry:
                self.slots[kept[2]] = moved
                self.kept[moved] = (*self.kept[moved][:2], kept[2])

    def _least(self, i: int, newest: int) -> int:
        slots, draw, count = self.slots, self.draw, len(self.slots)
        chosen = slots
        if count > self.sample:
            chosen = [slots[int(draw() * count)] for _ in range(self.sample)]
        victim, lowest = chosen[0], float("inf")
        for candidate in (newest, *chosen):
            if candidate in self.kept:
                rank = self.rank(self.kept[candidate][0], i)
                if rank < lowest:
                    victim, lowest = candidate, rank
        return victim
