"""Requests as caches see them, from a seed: popular objects, scans, loops, changes; and sizes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_REQUESTS = 10_000


def cache_traces(seed: int = 7) -> Iterator[tuple[str, Ints, Ints]]:
    """Name, objects, (n,), codes from 0, and their sizes in bytes, (n,)."""
    for name, objects in _requests(np.random.default_rng(seed)).items():
        codes = np.unique(objects, return_inverse=True)[1].astype(np.int64)
        for kind, sizes in _sizes(np.random.default_rng(seed), int(codes.max()) + 1).items():
            yield f"{name}, {kind}", codes, sizes[codes]


def _requests(rng: np.random.Generator) -> dict[str, Ints]:
    n = _REQUESTS
    zipf = np.minimum(rng.zipf(1.2, n), 1500)
    scans = zipf.copy()
    for begin in range(n // 5, n, n // 5):
        scans[begin : begin + n // 20] = n * 10 + begin + np.arange(n // 20)
    return {
        "zipf": zipf,
        "scans": scans,
        "loop": np.arange(n) % 700,
        "drifting": np.minimum(rng.zipf(1.2, n), 1000) + np.arange(n) // 2000 * 200,
        "all different": np.arange(n),
    }


def _sizes(rng: np.random.Generator, objects: int) -> dict[str, Ints]:
    log_normal = np.maximum(1, rng.lognormal(6, 1.5, objects)).astype(np.int64)
    odd = log_normal.copy()
    odd[1] = log_normal.sum()  # larger than any cache that holds a share of the others
    return {
        "one size": np.full(objects, 100),
        "log-normal": log_normal,
        "one too large": odd,
    }
