"""Policies of several queues: what was asked for once has to prove itself before it displaces."""

from __future__ import annotations

from collections import OrderedDict, defaultdict

from treehouse.platform.replay.cache_policies import HIT, PASSED, STORED, hits
from treehouse.platform.replay.traces import CacheTrace, Flags


def s3_fifo(trace: CacheTrace, capacity: int) -> Flags:
    """S3-FIFO (Yang et al., SOSP 2023): a small queue lets pass only what is asked for again.

    A tenth of the bytes for the small queue, two hits to pass it, counters up to 3, a ghost queue
    as large as the main one. As in the authors' own libCacheSim what does not fit the small queue
    does not come in, the main queue gives way when it is over its share, and until something has to
    leave, what has no room in the small queue goes into the main one.
    """
    return hits(trace, S3Fifo(capacity))


class S3Fifo:
    """The cache of `s3_fifo`."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.small_capacity = max(1, capacity // 10)
        self.small: OrderedDict[int, int] = OrderedDict()  # entry to size, oldest first
        self.main: OrderedDict[int, int] = OrderedDict()
        self.ghost: OrderedDict[int, int] = OrderedDict()  # what left the small queue
        self.frequency: dict[int, int] = {}
        self.in_small = self.in_main = self.in_ghost = 0
        self.is_full = False

    def ask(self, _: int, entry: int, size: int) -> int:
        if entry in self.frequency:
            self.frequency[entry] = min(3, self.frequency[entry] + 1)
            return HIT
        returns = entry in self.ghost
        if returns:
            self.in_ghost -= self.ghost.pop(entry)
        if size > self.small_capacity:
            return PASSED
        while self.in_small + self.in_main + size > self.capacity:
            self.is_full = True
            if self.in_main > self.capacity - self.small_capacity or not self.small:
                self._leave_main()
            else:
                self._leave_small()
        self.frequency[entry] = 0
        fills = not self.is_full and self.in_small >= self.small_capacity
        self._enter(self.main if returns or fills else self.small, entry, size)
        return STORED

    def drop(self, entry: int) -> None:
        if self.frequency.pop(entry, None) is not None:
            self.in_small -= self.small.pop(entry, 0)
            self.in_main -= self.main.pop(entry, 0)

    def _enter(self, queue: OrderedDict[int, int], entry: int, size: int) -> None:
        queue[entry] = size
        if queue is self.main:
            self.in_main += size
        else:
            self.in_small += size

    def _leave_small(self) -> None:
        """Until one has left; those that were asked for again go over into the main queue."""
        while self.small:
            oldest, size = self.small.popitem(last=False)
            self.in_small -= size
            if self.frequency[oldest] < 2:
                del self.frequency[oldest]
                self.ghost[oldest] = size
                self.in_ghost += size
                break
            self.frequency[oldest] = 0
            self._enter(self.main, oldest, size)
        while self.in_ghost > self.capacity - self.small_capacity:
            self.in_ghost -= self.ghost.popitem(last=False)[1]

    def _leave_main(self) -> None:
        oldest, size = self.main.popitem(last=False)
        while self.frequency[oldest] > 0:
            self.frequency[oldest] -= 1
            self.main[oldest] = size
            oldest, size = self.main.popitem(last=False)
        del self.frequency[oldest]
        self.in_main -= size


def w_tinylfu(trace: CacheTrace, capacity: int) -> Flags:
    """W-TinyLFU (Einziger, Friedman and Manes, ACM ToS 2017), with exact counters for the sketch.

    A window of 1 % by LRU; what leaves it enters the segmented LRU behind only if it was asked for
    more often than all that it would displace together (Einziger et al. 2021, for sizes).
    """
    return hits(trace, TinyLfu(capacity))


class TinyLfu:
    """The cache of `w_tinylfu`."""

    def __init__(self, capacity: int) -> None:
        self.window: OrderedDict[int, int] = OrderedDict()
        self.probation: OrderedDict[int, int] = OrderedDict()
        self.protected: OrderedDict[int, int] = OrderedDict()
        self.window_capacity = max(1, capacity // 100)
        self.main_capacity = capacity - self.window_capacity
        self.in_window = self.in_main = self.in_protected = 0
        self.frequency: defaultdict[int, int] = defaultdict(int)
        self.counted = 0

    def ask(self, _: int, entry: int, size: int) -> int:
        self._count(entry)
        if entry in self.window:
            self.window.move_to_end(entry)
        elif entry in self.protected:
            self.protected.move_to_end(entry)
        elif entry in self.probation:
            self._promote(entry)
        else:
            self.window[entry] = size
            self.in_window += size
            while self.in_window > self.window_capacity:
                candidate, its_size = self.window.popitem(last=False)
                self.in_window -= its_size
                self._admit(candidate, its_size)
            return STORED if entry in self.window or entry in self.probation else PASSED
        return HIT

    def drop(self, entry: int) -> None:
        self.in_window -= self.window.pop(entry, 0)
        its_size = self.protected.pop(entry, 0)
        self.in_protected -= its_size
        self.in_main -= its_size + self.probation.pop(entry, 0)

    def _count(self, entry: int) -> None:
        """Count a request; all counts are halved after ten for each entry that is kept."""
        self.frequency[entry] += 1
        self.counted += 1
        kept = len(self.window) + len(self.probation) + len(self.protected)
        if self.counted > 10 * max(kept, 100):
            halved = {e: n // 2 for e, n in self.frequency.items() if n > 1}
            self.frequency = defaultdict(int, halved)
            self.counted //= 2

    def _promote(self, entry: int) -> None:
        size = self.probation.pop(entry)
        self.protected[entry] = size
        self.in_protected += size
        while self.in_protected > self.main_capacity * 8 // 10:
            oldest, its_size = self.protected.popitem(last=False)
            self.in_protected -= its_size
            self.probation[oldest] = its_size

    def _admit(self, candidate: int, size: int) -> None:
        if size > self.main_capacity:
            return
        victims, freed, rivals = [], 0, 0
        for queue in (self.probation, self.protected):
            for victim, its_size in queue.items():
                if self.in_main - freed + size <= self.main_capacity:
                    break
                victims.append((queue, victim))
                freed += its_size
                rivals += self.frequency[victim]
        if victims and self.frequency[candidate] <= rivals:
            return
        for queue, victim in victims:
            its_size = queue.pop(victim)
            self.in_main -= its_size
            self.in_protected -= its_size if queue is self.protected else 0
        self.probation[candidate] = size
        self.in_main += size
