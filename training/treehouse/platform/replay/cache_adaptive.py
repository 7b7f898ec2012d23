"""Policies that find out by themselves what to keep: SIEVE, ARC and LIRS."""

from __future__ import annotations

from collections import OrderedDict

from treehouse.platform.replay.cache_policies import HIT, PASSED, STORED, hits
from treehouse.platform.replay.traces import CacheTrace, Flags


def sieve(trace: CacheTrace, capacity: int) -> Flags:
    """SIEVE (Zhang et al., NSDI 2024): a hand goes from the oldest to the newest, over and over,
    and takes the first one that was not asked for since it came by."""
    return hits(trace, Sieve(capacity))


class Sieve:
    """The cache of `sieve`. The queue is a linked list, for the hand may be anywhere in it."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.used = capacity, 0
        self.sizes: dict[int, int] = {}
        self.visited: set[int] = set()
        self.newer: dict[int, int | None] = {}
        self.older: dict[int, int | None] = {}
        self.newest: int | None = None
        self.oldest: int | None = None
        self.hand: int | None = None

    def ask(self, _: int, entry: int, size: int) -> int:
        if entry in self.sizes:
            self.visited.add(entry)
            return HIT
        if size > self.capacity:
            return PASSED
        while self.used + size > self.capacity:
            self.drop(self._victim())
        self.sizes[entry] = size
        self.used += size
        self.newer[entry], self.older[entry] = None, self.newest
        if self.newest is None:
            self.oldest = entry
        else:
            self.newer[self.newest] = entry
        self.newest = entry
        return STORED

    def drop(self, entry: int) -> None:
        if entry not in self.sizes:
            return
        self.used -= self.sizes.pop(entry)
        self.visited.discard(entry)
        newer, older = self.newer.pop(entry), self.older.pop(entry)
        if newer is None:
            self.newest = older
        else:
            self.older[newer] = older
        if older is None:
            self.oldest = newer
        else:
            self.newer[older] = newer
        if self.hand == entry:
            self.hand = newer

    def _victim(self) -> int:
        """Where the hand stops; it stands there until that one is dropped, and then on the next."""
        hand = self.oldest if self.hand is None else self.hand
        while hand is not None and hand in self.visited:
            self.visited.discard(hand)
            newer = self.newer[hand]
            hand = self.oldest if newer is None else newer
        if hand is None:
            raise AssertionError("a cache without an entry has room for one")
        self.hand = hand
        return hand


def arc(trace: CacheTrace, capacity: int) -> Flags:
    """ARC (Megiddo and Modha, FAST 2003), in bytes: how much is for what was asked for once is
    learned from what comes back soon after it has left."""
    return hits(trace, Arc(capacity))


class Arc:
    """The cache of `arc`. Every queue has what was not used for longest first."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.target = 0.0  # bytes for `once`
        self.once, self.often, self.once_ghost, self.often_ghost = (_Queue() for _ in range(4))

    def ask(self, _: int, entry: int, size: int) -> int:
        if entry in self.once.sizes:
            self.often.add(entry, self.once.take(entry))
            return HIT
        if entry in self.often.sizes:
            self.often.sizes.move_to_end(entry)
            return HIT
        in_once, in_often = (entry in q.sizes for q in (self.once_ghost, self.often_ghost))
        if in_once:
            step = max(1.0, self.often_ghost.used / self.once_ghost.used)
            self.target = min(self.target + step, self.capacity)
            self.once_ghost.take(entry)
        elif in_often:
            step = max(1.0, self.once_ghost.used / self.often_ghost.used)
            self.target = max(self.target - step, 0.0)
            self.often_ghost.take(entry)
        if size > self.capacity:
            return PASSED
        while self.once.used + self.often.used + size > self.capacity:
            if not (in_once or in_often) and self._shorten_ghosts(size):
                continue
            self._replace(in_often)
        (self.often if in_once or in_often else self.once).add(entry, size)
        return STORED

    def drop(self, entry: int) -> None:
        for queue in (self.once, self.often):
            if entry in queue.sizes:
                queue.take(entry)

    def _shorten_ghosts(self, size: int) -> bool:
        """Before something new comes in; whether that made room, for there was no ghost."""
        if self.once.used + self.once_ghost.used + size > self.capacity:
            if not self.once_ghost.sizes:
                self.once.pop()
                return True
            self.once_ghost.pop()
        else:
            queues = (self.once, self.often, self.once_ghost, self.often_ghost)
            if sum(queue.used for queue in queues) >= 2 * self.capacity and self.often_ghost.sizes:
                self.often_ghost.pop()
        return False

    def _replace(self, in_often: bool) -> None:
        once = self.once
        over = once.used > self.target or (in_often and once.used == self.target)
        if (once.sizes and over) or not self.often.sizes:
            self.once_ghost.add(*once.pop())
        else:
            self.often_ghost.add(*self.often.pop())


def lirs(trace: CacheTrace, capacity: int) -> Flags:
    """LIRS (Jiang and Zhang, SIGMETRICS 2002), in bytes: keep what was last asked for twice within
    the fewest other entries, however long ago that was.

    These entries (LIR) have all bytes but a hundredth, which is a queue for all others (HIR). A
    stack has what was asked for since the oldest request of a LIR entry, whether it is kept or not:
    what is asked for again while it is in there becomes LIR, and the oldest LIR entries give way.
    The stack holds up to two capacities.

    An entry larger than the queue leaves at once, but stays in the stack, and so is kept from its
    second request on. libCacheSim forgets it: in a small cache most entries never come in.
    """
    return hits(trace, Lirs(capacity))


class Lirs:
    """The cache of `lirs`. The oldest entry of the stack is always LIR."""

    def __init__(self, capacity: int) -> None:
        self.queue_capacity = min(max(1, capacity // 100), capacity - 1)
        self.lir_capacity = capacity - self.queue_capacity
        self.stack_capacity = 2 * capacity
        # `left` is what is in the stack but not kept, in the order in which it left.
        self.stack, self.lir, self.queue, self.left = (_Queue() for _ in range(4))

    def ask(self, _: int, entry: int, size: int) -> int:
        came = self._ask(entry, size)
        while self.stack.used > self.stack_capacity and self.left.sizes:
            self.stack.discard(self.left.pop()[0])
        return came

    def drop(self, entry: int) -> None:
        for queue in (self.stack, self.lir, self.queue, self.left):
            queue.discard(entry)
        self._prune()

    def _ask(self, entry: int, size: int) -> int:
        if entry in self.lir.sizes:
            self._push(entry, size)
            return HIT
        if size > self.lir_capacity:
            return PASSED
        is_kept = entry in self.queue.sizes
        self.queue.discard(entry)
        has_room = not is_kept and self.lir.used + size <= self.lir_capacity
        if has_room or entry in self.stack.sizes:
            self._promote(entry, size)
            return HIT if is_kept else STORED
        self._push(entry, size)
        came = self._enqueue(entry, size)
        return HIT if is_kept else came

    def _push(self, entry: int, size: int) -> None:
        self.stack.discard(entry)
        self.stack.add(entry, size)
        self._prune()

    def _prune(self) -> None:
        """Up to the oldest LIR entry."""
        while self.stack.sizes and (oldest := next(iter(self.stack.sizes))) not in self.lir.sizes:
            self.stack.discard(oldest)
            self.left.discard(oldest)

    def _promote(self, entry: int, size: int) -> None:
        self.left.discard(entry)
        self.lir.add(entry, size)
        self._push(entry, size)
        while self.lir.used > self.lir_capacity:
            oldest, its_size = self.stack.pop()
            self.lir.discard(oldest)
            self._enqueue(oldest, its_size)
            self._prune()

    def _enqueue(self, entry: int, size: int) -> int:
        if size > self.queue_capacity:
            self._leave(entry, size)
            return PASSED
        while self.queue.used + size > self.queue_capacity:
            self._leave(*self.queue.pop())
        self.queue.add(entry, size)
        return STORED

    def _leave(self, entry: int, size: int) -> None:
        if entry in self.stack.sizes:
            self.left.add(entry, size)


class _Queue:
    """Entries with their sizes, and how many bytes they are."""

    def __init__(self) -> None:
        self.sizes: OrderedDict[int, int] = OrderedDict()
        self.used = 0

    def add(self, entry: int, size: int) -> None:
        self.sizes[entry] = size
        self.used += size

    def take(self, entry: int) -> int:
        size = self.sizes.pop(entry)
        self.used -= size
        return size

    def discard(self, entry: int) -> None:
        self.used -= self.sizes.pop(entry, 0)

    def pop(self) -> tuple[int, int]:
        entry, size = self.sizes.popitem(last=False)
        self.used -= size
        return entry, size
