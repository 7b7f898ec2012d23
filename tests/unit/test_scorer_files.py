"""Model files: what is damaged is refused and named, what is written reads back."""

from __future__ import annotations

import json
import struct
import subprocess
from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb

from tests.support.scorer_pipe import Scorer, mended
from tests.unit.test_scorer import COUNTRIES
from treehouse.bundle import Bundle, Inputs, bundle_id, e
from treehouse.bundle.container import Kind
from treehouse.forest import compile_forest
from treehouse.project.errors import TreehouseError


def small_forest_bundle() -> bytes:
    x = np.random.default_rng(0).normal(size=(200, 2))
    booster = lgb.train({"verbose": -1, "num_leaves": 4}, lgb.Dataset(x, x[:, 0]), 2)
    forest = compile_forest(booster, ("x", "y"))
    inputs = Inputs(("x", "y"), {"country": COUNTRIES})
    return Bundle("flip", 1, "c", inputs, (forest,), {"v": e.out()}).to_bytes()


def test_a_flipped_bit_anywhere_is_refused(scorer: Scorer) -> None:
    data = small_forest_bundle()
    rng = np.random.default_rng(5)
    where = [*range(64), *rng.integers(64, len(data), 150).tolist()]
    path = scorer.folder / "flipped"
    for position in where:
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        done = subprocess.run(
            [scorer.binary, "--check", path], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1, position
        assert "flipped" in done.stderr
        with pytest.raises(TreehouseError):
            Bundle.read_header(bytes(damaged))


def test_a_rank_table_that_is_not_aligned_is_refused(scorer: Scorer) -> None:
    """Found by fuzzing: kernels load its keys by whole registers."""
    data = bytearray(small_forest_bundle())
    (n_sections,) = struct.unpack_from("<I", data, 28)
    entries = [struct.unpack_from("<IIQQQ", data, 64 + 32 * i) for i in range(n_sections)]
    (ranks,) = (offset for kind, _, offset, _, _ in entries if kind == Kind.RANKS)
    table_offset = ranks + 16 + 8
    (offset,) = struct.unpack_from("<Q", data, table_offset)
    struct.pack_into("<Q", data, table_offset, offset - 16)
    path = scorer.folder / "unaligned"
    path.write_bytes(mended(bytes(data)))
    command = [scorer.binary, "--check", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unaligned" in done.stderr
    assert "a rank table out of range" in done.stderr


def test_float32_sums_whose_base_comes_last_are_refused(scorer: Scorer) -> None:
    """No trainer sums so: XGBoost, which alone keeps its sums in float32, begins with the base."""
    x = np.random.default_rng(0).normal(size=(200, 2))
    booster = xgb.train({"max_depth": 2}, xgb.DMatrix(x, x[:, 0]), 2)
    forest = compile_forest(booster, ("x", "y"))
    assert (forest.sum_float32, forest.base_first) == (True, True)
    path = scorer.folder / "last"
    for base_first in (True, False):
        changed = (replace(forest, base_first=base_first),)
        bundle = Bundle("last", 1, "c", Inputs(("x", "y")), changed, {"v": e.out()})
        path.write_bytes(bundle.to_bytes())
        done = subprocess.run(
            [scorer.binary, "--check", path], capture_output=True, text=True, check=False
        )
        assert done.returncode == (0 if base_first else 1), done.stderr
    assert "float32 sums whose base comes last" in done.stderr


@pytest.mark.parametrize("size", [0, 1, 63, 64, 500, -1])
def test_a_truncated_file_is_refused(scorer: Scorer, size: int) -> None:
    path = scorer.folder / "truncated"
    path.write_bytes(small_forest_bundle()[:size])
    done = subprocess.run([scorer.binary, "--check", path], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"truncated" in done.stderr


def test_check_says_what_a_file_is(scorer: Scorer) -> None:
    number = scorer.publish(small_forest_bundle())
    path = scorer.folder / f"{number:016x}.bundle"
    command = [str(scorer.binary), "--check", str(path)]
    line = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "(flip version 1): 1 forests, 2 trees" in line
    as_json = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    found = json.loads(as_json.stdout)
    assert found["heads"] == ["v"]
    assert found["numeric"] == ["x", "y"]
    assert found["categorical"] == ["country"]


def test_header_reads_back_what_was_written() -> None:
    info = {"golden": [[1.5, np.nan], [-np.inf, 0.1]], "rows": np.int64(3)}
    inputs = Inputs(("x",), {"country": COUNTRIES})
    bundle = Bundle("m", 2**32 - 1, "hash", inputs, (), {"v": e.const(1)}, info)
    data = bundle.to_bytes()
    header = Bundle.read_header(data)
    assert header["bundle"] == bundle_id(data)
    assert (header["model"], header["version"], header["contract"]) == ("m", 2**32 - 1, "hash")
    assert header["heads"] == ["v"]
    categories = {"country": list(COUNTRIES)}
    none: dict[str, list[str]] = {"tokens": [], "series": []}
    assert header["inputs"] == {"numeric": ["x"], "categorical": categories, **none}
    assert header["networks"] == []
    np.testing.assert_array_equal(header["info"]["golden"], info["golden"])
    assert data == bundle.to_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 0}, "out of range"),
        ({"version": 2**32}, "out of range"),
        ({"heads": {}}, "answers nothing"),
        ({"heads": {"v": e.out(0)}}, "not there"),
        ({"heads": {"v": e.feature("nope")}}, "does not declare"),
        ({"inputs": Inputs(("x", "x"))}, "named twice"),
        ({"inputs": Inputs((), {"c": ("a", "a")})}, "listed twice"),
        ({"info": {"x": object()}}, "JSON"),
    ],
)
def test_impossible_bundles_are_refused(changes: dict[str, object], message: str) -> None:
    fields: dict[str, object] = {
        "model": "m",
        "version": 1,
        "contract": "c",
        "inputs": Inputs(("x",)),
        "forests": (),
        "heads": {"v": e.const(1)},
        "info": {},
    }
    with pytest.raises(TreehouseError, match=message):
        Bundle(**{**fields, **changes}).to_bytes()  # type: ignore[arg-type]
