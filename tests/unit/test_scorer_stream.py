"""Blocks are scored while they arrive: early answers, and large blocks leave nothing behind."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.support.scorer_pipe import Scorer, answers, block, number
from tests.unit.conftest import VARIANT
from treehouse.bench.block import buffers_block
from treehouse.bundle import Bundle, Inputs, e

MEGABYTE = 2**20
FEATURES = tuple(f"x{i}" for i in range(15))


def plain(version: int = 1, width: int = 15, heads: int = 1) -> Bundle:
    """Takes numbers only; its heads answer the first plus the last number, times the version."""
    total = (e.feature("x0") + e.feature(FEATURES[width - 1])) * version
    named = {f"head {i}": total for i in range(heads)}
    return Bundle("plain", version, "c", Inputs(FEATURES[:width]), (), named)


def with_category() -> Bundle:
    inputs = Inputs(("x0", "x1"), {"c": ("a", "b")})
    return Bundle("mixed", 9, "c", inputs, (), {"v": e.feature("x0") + 10 * e.feature("c")})


@pytest.mark.parametrize("rows", [4095, 4096, 4097, 50_000])
def test_windows_meet_without_a_gap(scorer: Scorer, rows: int) -> None:
    x = np.random.default_rng(rows).normal(size=(rows, 15))
    found = scorer.score(plain(heads=2), x)
    np.testing.assert_array_equal(found, np.repeat((x[:, 0] + x[:, 14])[:, None], 2, axis=1))


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("period", [1, 9_000])
def test_bundles_of_other_widths_and_none_share_a_block(
    scorer: Scorer, period: int, held: bool
) -> None:
    """Without categories a window is held, with them all numbers; rows without a bundle bring
    anything."""
    kinds: list[tuple[Bundle | None, tuple[float, ...], tuple[str, ...]]] = [
        (plain(2), tuple(range(15)), ()),
        (None, (1.0, 2.0), ("anything", "")),
        (plain(3, width=3), (1.5, 2.0, 4.0), ()),
    ]
    expected = [[2, 28.0], [], [3, 16.5]]
    if held:
        kinds.append((with_category(), (0.5, 0.0), ("b",)))
        expected.append([9, 10.5])
    numbers = [scorer.publish(bundle) if bundle else 0 for bundle, _, _ in kinds]
    order = [i // period % len(kinds) for i in range(36_000)]
    data = block(
        [numbers[k] for k in order], [kinds[k][1] for k in order], [kinds[k][2] for k in order]
    )
    done = scorer.run(data + data)
    assert done.returncode == 0, done.stderr.decode()
    assert [row.tolist() for row in answers(done.stdout)] == [expected[k] for k in order] * 2


def test_what_follows_the_numbers_is_still_checked(scorer: Scorer) -> None:
    bundle = scorer.publish(plain(width=2))
    good = block([bundle] * 2, np.ones((2, 2)), [()] * 2)
    bad = block([bundle] * 2, np.ones((2, 2)), [(), ("a",)])
    for data, message in [
        (bad, "takes 0 categorical inputs, row 1 brings 1"),
        (good[:-24] + number(17) + bytes(17), "17 bytes where 16"),
        (good[:-1], "ends early"),
    ]:
        done = scorer.run(data)
        assert (done.returncode, done.stdout) == (1, b"")
        assert message in done.stderr.decode()


class Running:
    """A scorer whose answers are read and counted as they come."""

    def __init__(self, scorer: Scorer) -> None:
        command = [str(scorer.binary), "--files", str(scorer.folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.received = 0
        self.reader = threading.Thread(target=self._drain)
        self.reader.start()

    def _drain(self) -> None:
        assert self.process.stdout is not None
        while part := self.process.stdout.read1(MEGABYTE):  # type: ignore[attr-defined]
            self.received += len(part)

    def send(self, data: bytes, wanted: int) -> None:
        """Send bytes and wait until this many bytes of answers came in all."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()
        while self.received < wanted:
            time.sleep(0.001)

    def memory(self, what: str) -> int:
        """VmHWM, the most so far, or RssAnon, the process's own now, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(what))
        return int(line.split()[1]) * 1024

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.reader.join()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def test_answers_come_while_the_block_still_arrives(scorer: Scorer) -> None:
    """And the last rows' only once the whole block was read."""
    rows = 100_000
    data = buffers_block(scorer.publish(plain()), np.ones((rows, 15)))
    with Running(scorer) as running:
        running.send(data[: len(data) // 2], 1)
        assert running.received < rows * 12
        running.send(data[len(data) // 2 : -1], rows * 16)
        time.sleep(0.05)
        assert running.received < rows * 24
        running.send(data[-1:], rows * 24)


memory = pytest.mark.skipif(VARIANT == "asan", reason="sanitizers take memory of their own")


@memory
def test_a_million_rows_of_numbers_are_never_held(scorer: Scorer) -> None:
    data = buffers_block(scorer.publish(plain()), np.ones((1_000_000, 15)))
    with Running(scorer) as running:
        running.send(data, 1_000_000 * 24)
        assert running.memory("VmHWM") < 12 * MEGABYTE


@memory
def test_a_huge_block_with_categories_is_given_back(scorer: Scorer) -> None:
    rows = 2_000_000
    columns = (
        np.full(rows, scorer.publish(with_category()), "<u8").tobytes(),
        (np.arange(1, rows + 1, dtype="<u8") * 2).tobytes()
        + bytes(2 * rows)  # none is NULL
        + np.ones(2 * rows).tobytes(),
        np.arange(1, rows + 1, dtype="<u8").tobytes() + bytes(rows) + b"\1b" * rows,
    )
    data = number(3) + number(rows) + b"".join(number(len(c)) + c for c in columns)
    with Running(scorer) as running:
        running.send(data, rows * 24)
        assert running.memory("VmHWM") < 32 * MEGABYTE * 1.6
        for _ in range(500):  # the last answer is sent before memory is given back
            if running.memory("RssAnon") < 12 * MEGABYTE:
                break
            time.sleep(0.01)
        assert running.memory("RssAnon") < 12 * MEGABYTE
