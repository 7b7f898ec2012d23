"""The scorer's protocol: blocks in, blocks out, and one clear line for all that does not fit."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.support.scorer_pipe import Scorer, answers, block, number
from treehouse.bundle import Bundle, Inputs, bundle_id, e

COUNTRIES = ("DE", "US", "Åland", "a category with a long name " * 3)


def sums(version: int = 1, factor: float = 1.0, heads: int = 1) -> Bundle:
    """A bundle without a forest: (x + y) * factor, and the country's code."""
    total = (e.feature("x") + e.feature("y")) * factor
    every = {"total": total, "code": e.feature("country"), "again": total}
    chosen = dict(list(every.items())[:heads])
    return Bundle("sums", version, "abc", Inputs(("x", "y"), {"country": COUNTRIES}), (), chosen)


def test_answers_hold_version_then_heads(scorer: Scorer) -> None:
    number = scorer.publish(sums(version=7, heads=2))
    done = scorer.run(block([number] * 2, [(1, 2), (3, 4.5)], [("US",), ("Åland",)]))
    assert [row.tolist() for row in answers(done.stdout)] == [[7, 3, 1], [7, 7.5, 2]]
    assert done.stderr == b""


def test_null_is_missing_whatever_lies_under_it(scorer: Scorer) -> None:
    bundle = scorer.publish(sums(heads=2))
    numeric = [(1, 2), (None, 2), (1, None), (None, None), (3, 4)] * 3000
    texts = [("US",), ("DE",), (None,), (None,), ("Åland",)] * 3000
    data = block([bundle] * len(numeric), numeric, texts)
    found = np.array(answers(scorer.run(data).stdout))[:, 1:]
    expected = [[3, 1], [np.nan, 0], [np.nan, np.nan], [np.nan, np.nan], [7, 2]] * 3000
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("country", ["", "ZZ", "DE ", "de", "x" * 70_000, "\0", "D"])
def test_unseen_and_empty_categories_are_missing(scorer: Scorer, country: str) -> None:
    found = scorer.score(sums(heads=2), np.ones((1, 2)), [(country,)])
    assert np.isnan(found[0, 1])


def test_every_category_is_found_in_a_large_table(scorer: Scorer) -> None:
    names = tuple(f"c{i * 7919}" for i in range(20_000))
    bundle = Bundle("many", 1, "c", Inputs((), {"c": names}), (), {"code": e.feature("c")})
    found = scorer.score(bundle, np.zeros((len(names), 0)), [(n,) for n in names])
    np.testing.assert_array_equal(found[:, 0], np.arange(len(names)))


@pytest.mark.parametrize("pattern", ["alternating", "halves", "random"])
@pytest.mark.parametrize("rows", [1, 2, 511, 512, 513, 40_000])
def test_a_block_may_mix_bundles_and_none(scorer: Scorer, rows: int, pattern: str) -> None:
    bundles = {1: sums(1), 2: sums(2, factor=10, heads=3), 3: sums(3, factor=-1, heads=2)}
    ids = [0, *(scorer.publish(b) for b in bundles.values())]
    order = np.arange(rows) % 4
    if pattern == "halves":
        order = np.sort(order)
    if pattern == "random":
        order = np.random.default_rng(0).integers(0, 4, rows)
    x = np.random.default_rng(1).normal(size=(rows, 2))
    found = answers(scorer.run(block([ids[i] for i in order], x, [("US",)] * rows)).stdout)
    assert len(found) == rows
    factors = (0, 1, 10, -1)
    for i, row, answer in zip(order, x, found, strict=True):
        total = (row[0] + row[1]) * factors[i]
        expected = [[], [1, total], [2, total, 1, total], [3, total, 1]][i]
        assert answer.tolist() == expected


def test_many_blocks_on_one_pipe_and_rows_without_champion(scorer: Scorer) -> None:
    bundle = scorer.publish(sums())
    first = block([bundle] * 3, np.ones((3, 2)), [("DE",)] * 3)
    none = block([0, 0], [(), (1, 2, 3)], [("a", "b"), ()])
    found = answers(scorer.run(first + none + number(0) + number(0) + first).stdout)
    assert [len(row) for row in found] == [2, 2, 2, 0, 0, 2, 2, 2]


def test_more_bundles_than_stay_open(scorer: Scorer) -> None:
    numbers = [scorer.publish(sums(version)) for version in range(1, 101)]
    data = block(numbers, np.ones((100, 2)), [("DE",)] * 100)
    found = answers(scorer.run(data + data).stdout)
    assert [row[0] for row in found] == [*range(1, 101)] * 2


def broken_blocks() -> dict[str, tuple[bytes, str]]:
    bundle = bundle_id(sums().to_bytes())
    good = block([bundle], [(1.0, 2.0)], [("DE",)])
    header = number(3) + number(1) + number(8)
    return {
        "cut off": (good[:-1], "ends early"),
        "cut in the header": (good[:5], "ends early"),
        "too few numbers": (block([bundle], [(1.0,)], [("DE",)]), "takes 2 numeric inputs"),
        "too many categories": (
            block([bundle], [(1.0, 2.0)], [("DE", "US")]),
            "takes 1 categorical inputs, row 0 brings 2",
        ),
        "2^60 rows": (number(3) + number(2**60), "1152921504606846976 rows"),
        "2^39 rows": (number(3) + number(2**39) + number(2**42) + bytes(64), "ends early"),
        "a column of 32-bit numbers": (number(3) + number(1) + number(4), "4 bytes where 8"),
        "a column that is too long": (
            good.replace(number(8 + 1 + 3), number(8 + 1 + 4)),
            "13 bytes where 12",
        ),
        "two columns": (number(2) + number(1), "2 columns"),
        "a length of 70 bits": (good[:-3] + b"\xff" * 10, "more than 64 bits"),
        "missing file": (block([12345], [(1.0, 2.0)], [("DE",)]), "0000000000003039.bundle"),
        "offsets that decrease": (
            header + bytes(8) + number(8) + b"\xff" * 8,
            "do not increase",
        ),
    }


@pytest.mark.parametrize("name", broken_blocks())
def test_a_bad_block_is_refused_in_one_line(scorer: Scorer, name: str) -> None:
    scorer.publish(sums())
    data, message = broken_blocks()[name]
    done = scorer.run(data)
    assert done.returncode == 1
    assert done.stdout == b""
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_a_refusal_names_model_and_version(scorer: Scorer) -> None:
    number = scorer.publish(sums(version=9))
    done = scorer.run(block([number], [()], [("DE",)]))
    assert f"{number:016x}.bundle (sums version 9) takes 2" in done.stderr.decode()


def test_loaded_files_are_those_of_living_processes(scorer: Scorer) -> None:
    number = scorer.publish(sums(version=5))
    data = block([number] * 3, np.ones((3, 2)), [("DE",)] * 3)
    command = [str(scorer.binary), "--files", str(scorer.folder)]
    request = b"".join(n.to_bytes(8, "little") for n in (1, 1, 1)) + b"\1"

    def loaded() -> list[dict[str, object]]:
        answer = scorer.run(request, "loaded").stdout
        return [
            json.loads("{" + part.split("}")[0] + "}")
            for part in answer[32:].decode("latin-1").split("{")[1:]
        ]

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            process.stdin.write(data)
            process.stdin.flush()
            process.stdout.read(24 + 8 * 3 + 8 * 6)
        process.stdin.write(data[:8])  # the second answer was sent before its count was noted
        process.stdin.flush()
        found = [f for f in loaded() if f["process"] == process.pid]
        for _ in range(200):
            if found and found[0]["blocks"] == 2:
                break
            found = [f for f in loaded() if f["process"] == process.pid]
        process.kill()
    expected = {"bundle": f"{number:016x}", "model": "sums", "version": 5, "blocks": 2, "rows": 6}
    assert found == [{**expected, "process": process.pid}]
    assert [f for f in loaded() if f["process"] == process.pid] == []
    assert not (scorer.folder / ".loaded" / str(process.pid)).exists()


_FULL_DISK = """
set -e
mount -t tmpfs -o size=64k tmpfs "$1"
cp "$2" "$1"
mkdir "$1/.loaded"
cat /dev/zero >"$1/rest" 2>/dev/null || true
exec "$3" --files "$1"
"""


def test_a_disk_that_is_full_does_not_end_the_process(scorer: Scorer, tmp_path: Path) -> None:
    """What it notes of its use lies in a mapped file: a page without a disk is a signal."""
    namespace = ["unshare", "--map-root-user", "--mount"]
    mount = [*namespace, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a file system of his own")
    number = scorer.publish(sums(version=6))
    file = scorer.folder / f"{number:016x}.bundle"
    data = block([number] * 3, np.ones((3, 2)), [("DE",)] * 3)
    command = ["sh", "-c", _FULL_DISK, "sh", tmp_path, file, scorer.binary]
    done = subprocess.run([*namespace, *command], input=data * 2, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(answers(done.stdout)) == 6
