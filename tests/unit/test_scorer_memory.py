"""A scorer process: bounded memory for blocks as ClickHouse sends them."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from tests.support.parity import numeric_bundle
from tests.support.scorer_pipe import Scorer
from tests.unit.conftest import VARIANT
from treehouse.bench.block import buffers_block
from treehouse.forest import compile_forest

MEGABYTE = 2**20
pytestmark = pytest.mark.skipif(VARIANT == "asan", reason="sanitizers take memory of their own")


@pytest.fixture(scope="module")
def published_model(scorer: Scorer) -> tuple[int, int]:
    """A model of 200 trees over 15 features: its id and its size in bytes."""
    x = np.random.default_rng(0).normal(size=(5000, 15))
    settings = {"verbose": -1, "num_leaves": 127, "min_data_in_leaf": 5}
    booster = lgb.train(settings, lgb.Dataset(x, x[:, 0] * x[:, 1]), 200)
    forest = compile_forest(booster, tuple(f"x{i}" for i in range(15)))
    data = numeric_bundle(forest).to_bytes()
    return scorer.publish(data), len(data)


def peak_bytes(scorer: Scorer, data: bytes, repeats: int) -> int:
    """The process's own high-water mark after it answered the same block several times."""
    command = [str(scorer.binary), "--files", str(scorer.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        received = [0]

        def drain() -> None:
            while part := process.stdout.read1(MEGABYTE):  # type: ignore[union-attr]
                received[0] += len(part)

        reader = threading.Thread(target=drain)
        reader.start()
        for _ in range(repeats):
            process.stdin.write(data)
        process.stdin.flush()
        wanted = repeats * int.from_bytes(data[8:16], "little") * 8 * 4
        while received[0] < wanted:
            time.sleep(0.01)
        status = Path(f"/proc/{process.pid}/status").read_text()
        process.stdin.close()
        reader.join()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_memory_is_bounded_for_blocks_of_65536_rows(
    scorer: Scorer, published_model: tuple[int, int]
) -> None:
    number, size = published_model
    rows = np.random.default_rng(1).normal(size=(65_536, 15))
    peak = peak_bytes(scorer, buffers_block(number, rows), 4)
    assert peak < 20 * MEGABYTE + size


def test_a_model_is_checked_by_hand(scorer: Scorer, published_model: tuple[int, int]) -> None:
    number, _ = published_model
    path = scorer.folder / f"{number:016x}.bundle"
    done = subprocess.run(
        [scorer.binary, "--check", path, "--json"], capture_output=True, check=True
    )
    assert json.loads(done.stdout)["trees"] == 200
