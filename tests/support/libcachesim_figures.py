"""What libCacheSim answers of the same requests: writes tests/replay/libcachesim.json.

`libcachesim` has no wheels for ARM, so it is no dependency of the tests. In an environment of its
own: pip install libcachesim==0.3.5 && python -m tests.support.libcachesim_figures
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.support.cache_traces import cache_traces

FIGURES = Path(__file__).parents[1] / "replay" / "libcachesim.json"
CAPACITIES = (0.02, 0.1)  # of the bytes of all objects, each once


def main() -> None:
    import libcachesim

    makers = {
        "lru": libcachesim.LRU, "lfu": libcachesim.LFU, "s3-fifo": libcachesim.S3FIFO,
        "w-tinylfu": libcachesim.WTinyLFU, "gdsf": libcachesim.GDSF, "sieve": libcachesim.Sieve,
        "arc": libcachesim.ARC, "lirs": libcachesim.LIRS,
    }  # fmt: skip
    figures = {}
    for name, objects, sizes in cache_traces():
        first = np.unique(objects, return_index=True)[1]
        for share in CAPACITIES:
            capacity = max(1, int(sizes[first].sum() * share))
            for policy, make in makers.items():
                cache = make(capacity, hashpower=16)
                found = sum(map(cache.get, _requests(libcachesim, objects, sizes)))
                figures[f"{name}, {share}, {policy}"] = found / len(objects)
    FIGURES.write_text(json.dumps(figures, indent=0, sort_keys=True) + "\n")


def _requests(libcachesim, objects, sizes):  # type: ignore[no-untyped-def]
    request = libcachesim.Request()
    for i, (item, size) in enumerate(zip(objects.tolist(), sizes.tolist(), strict=True)):
        request.obj_id, request.obj_size, request.clock_time = item + 1, size, i
        yield request


if __name__ == "__main__":
    main()
