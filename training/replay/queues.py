"""Policies of several queues: what was asked for once has to prove itself before it displaces."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque

from training.replay.policies import flags, requests
from training.replay.traces import CacheTrace, Flags


def s3_fifo(trace: CacheTrace, capacity: int) -> Flags:
    """S3-FIFO (Yang et al., SOSP 2023): a small queue lets pass only what is asked for again.

    A tenth of the bytes for the small queue, two hits to pass it, counters up to 3, a ghost queue
    as large as the main one: as in the paper.
    """
    return _S3Fifo(capacity).replay(trace)


class _S3Fifo:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.small_capacity = max(1, capacity // 10)
        self.small: deque[int] = deque()
        self.main: deque[int] = deque()
        self.ghost: OrderedDict[int, int] = OrderedDict()  # sizes of what left the small queue
        self.frequency: dict[int, int] = {}
        self.sizes: dict[int, int] = {}
        self.in_small = self.in_main = self.in_ghost = 0

    def replay(self, trace: CacheTrace) -> Flags:
        hits = bytearray(len(trace))
        for i, (entry, size, _) in enumerate(requests(trace)):
            if entry in self.frequency:
                hits[i] = True
                self.frequency[entry] = min(3, self.frequency[entry] + 1)
            elif size <= self.capacity:
                while self.in_small + self.in_main + size > self.capacity:
                    if self.small and (self.in_small >= self.small_capacity or not self.main):
                        self._leave_small()
                    else:
                        self._leave_main()
                self._enter(entry, size)
        return flags(hits)

    def _enter(self, entry: int, size: int) -> None:
        self.frequency[entry], self.sizes[entry] = 0, size
        if entry in self.ghost:
            self.in_ghost -= self.ghost.pop(entry)
            self.main.append(entry)
            self.in_main += size
        else:
            self.small.append(entry)
            self.in_small += size

    def _leave_small(self) -> None:
        oldest = self.small.popleft()
        size = self.sizes[oldest]
        self.in_small -= size
        if self.frequency[oldest] > 1:
            self.main.append(oldest)
            self.in_main += size
            self.frequency[oldest] = 0
            return
        del self.frequency[oldest], self.sizes[oldest]
        self.ghost[oldest] = size
        self.in_ghost += size
        while self.in_ghost > self.capacity - self.small_capacity:
            self.in_ghost -= self.ghost.popitem(last=False)[1]

    def _leave_main(self) -> None:
        oldest = self.main.popleft()
        if self.frequency[oldest] > 0:
            self.frequency[oldest] -= 1
            self.main.append(oldest)
            return
        del self.frequency[oldest]
        self.in_main -= self.sizes.pop(oldest)


def w_tinylfu(trace: CacheTrace, capacity: int) -> Flags:
    """W-TinyLFU (Einziger, Friedman and Manes, ACM ToS 2017), with exact counters for the sketch.

    A window of 1 % by LRU; what leaves it enters the segmented LRU behind only if it was asked for
    more often than all that it would displace together (Einziger et al. 2021, for sizes).
    """
    return _TinyLfu(capacity).replay(trace)


class _TinyLfu:
    def __init__(self, capacity: int) -> None:
        self.window: OrderedDict[int, int] = OrderedDict()
        self.probation: OrderedDict[int, int] = OrderedDict()
        self.protected: OrderedDict[int, int] = OrderedDict()
        self.window_capacity = max(1, capacity // 100)
        self.main_capacity = capacity - self.window_capacity
        self.in_window = self.in_main = self.in_protected = 0
        self.frequency: defaultdict[int, int] = defaultdict(int)
        self.counted = 0

    def replay(self, trace: CacheTrace) -> Flags:
        hits = bytearray(len(trace))
        for i, (entry, size, _) in enumerate(requests(trace)):
            self._count(entry)
            if entry in self.window:
                hits[i] = True
                self.window.move_to_end(entry)
            elif entry in self.protected:
                hits[i] = True
                self.protected.move_to_end(entry)
            elif entry in self.probation:
                hits[i] = True
                self._promote(entry)
            else:
                self.window[entry] = size
                self.in_window += size
                while self.in_window > self.window_capacity:
                    candidate, its_size = self.window.popitem(last=False)
                    self.in_window -= its_size
                    self._admit(candidate, its_size)
        return flags(hits)

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
