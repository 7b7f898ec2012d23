"""Hostile blocks and model files: refused in one line or answered, never worse.

Every run replays the corpus through the scorer as it ships; with --slow a coverage-guided fuzzer
starts from it, with sanitizers. TREEHOUSE_FUZZ_SECONDS makes that long, TREEHOUSE_FUZZ_KEEP=1 adds
to the corpus what reaches new code. Seeds are made anew, so that they fit the current format.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from tests.support.scorer_pipe import Scorer, block, mended
from treehouse.bundle import Bundle, Inputs, bundle_id, e
from treehouse.forest import compile_forest
from udfs.build import SOURCES, build, compile_commands, find_compiler, run_commands

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
SECONDS = os.environ.get("TREEHOUSE_FUZZ_SECONDS", "20")
KEEP = os.environ.get("TREEHOUSE_FUZZ_KEEP")
SEED = os.environ.get("TREEHOUSE_FUZZ_SEED", "1")
SANITIZE = ("-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fuzzer, linked with the scorer's sources under coverage."""
    folder = tmp_path_factory.mktemp("fuzz")
    kernels = [*SOURCES.glob("kernel_*.cpp")]
    others = [p for p in SOURCES.glob("*.cpp") if p.name != "main.cpp" and p not in kernels]
    covered = (*SANITIZE, "-fsanitize-coverage=trace-pc", f"-I{SOURCES}")
    compiler = find_compiler()
    commands, objects = compile_commands(compiler, [*others, HERE / "harness.cpp"], covered, folder)
    # Three minutes of the compiler's optimising them are worth it to a long run alone.
    once = (*covered, "-O0") if float(SECONDS) < 600 else covered
    more, kernel_objects = compile_commands(compiler, kernels, once, folder)
    commands, objects = commands + more, objects + kernel_objects
    plain, driver_object = compile_commands(compiler, [HERE / "driver.cpp"], SANITIZE, folder)
    run_commands(commands + plain)
    target = folder / "driver"
    linked = [*map(str, objects + driver_object), "-o", str(target)]
    run_commands([[*compiler, *SANITIZE, *linked]])
    return target


def seeds() -> dict[str, bytes]:
    """One small bundle for every layout: lanes, lanes with categories, a walk, heads alone."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 2))
    rows[:, 1] = rng.integers(0, 20, 600)
    target = rows[:, 0] + (rows[:, 1] % 3 == 1)
    inputs = Inputs(("x",), {"c": tuple(f"c{i}" for i in range(20))})
    settings = {"verbose": -1, "num_leaves": 8, "min_data_per_group": 5}
    data = lgb.Dataset(rows, target, categorical_feature=[1])
    plain = lgb.train(settings, lgb.Dataset(rows, target), 3)
    classes = RandomForestClassifier(2, random_state=0).fit(rows, np.digitize(target, [0, 1]))
    large = lgb.train({**settings, "num_leaves": 300, "min_data_in_leaf": 1}, data, 1)
    models = {"sets": lgb.train(settings, data, 3), "lanes": plain, "walk": classes, "big": large}
    table = e.linear(e.feature("x"), [0, 1, 2], [0, 1, 4]) + e.step(e.feature("c"), [3], [1, 2])
    heads = {"v": e.select(e.feature("x") < 0, e.exp(table), e.log1p(table))}
    bundles = {"heads": Bundle("heads", 1, "c", inputs, (), heads)}
    for name, model in models.items():
        forest = compile_forest(model, ("x", "c"))
        bundles[name] = Bundle(name, 1, "c", inputs, (forest,), {"v": e.out(), "m": e.margin()})
    return {name: bundle.to_bytes() for name, bundle in bundles.items()}


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """The scorer as it ships, over the seeds' model files."""
    scorer = Scorer(build(), tmp_path_factory.mktemp("fuzzed"))
    for data in seeds().values():
        scorer.publish(data)
    return scorer


def answered_or_refused(done: subprocess.CompletedProcess[bytes]) -> bool:
    """Whether it was answered; fails for anything but a refusal in one line."""
    lines = done.stderr.count(b"\n")
    assert (done.returncode, lines) in ((0, 0), (1, 1)), done.stderr.decode(errors="replace")
    return done.returncode == 0


@pytest.mark.parametrize("path", sorted((CORPUS / "block").iterdir()), ids=lambda path: path.name)
def test_blocks_of_the_corpus_are_answered_or_refused(scorer: Scorer, path: Path) -> None:
    for task in ((), ("explain",)):
        answered_or_refused(scorer.run(path.read_bytes(), *task))


@pytest.mark.parametrize("path", sorted((CORPUS / "file").iterdir()), ids=lambda path: path.name)
def test_files_of_the_corpus_are_served_or_refused(scorer: Scorer, path: Path) -> None:
    number = scorer.publish(mended(path.read_bytes()))
    file = scorer.folder / f"{number:016x}.bundle"
    command = [scorer.binary, "--check", file, "--json"]
    checked = subprocess.run(command, capture_output=True, check=False, timeout=60)
    if answered_or_refused(checked):
        found = json.loads(checked.stdout)
        numeric = np.random.default_rng(0).normal(size=(300, len(found["numeric"])))
        texts = [("c1",) * len(found["categorical"])] * len(numeric)
        for rows in (1, 300):
            data = block([number] * rows, numeric[:rows], texts[:rows])
            for task in ((), ("explain",)):
                answered_or_refused(scorer.run(data, *task))
    file.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("target", ["block", "file"])
def test_no_input_breaks_the_scorer(driver: Path, tmp_path: Path, target: str) -> None:
    files, inputs = tmp_path / "files", tmp_path / "inputs"
    files.mkdir()
    inputs.mkdir()
    kept = CORPUS / target
    for path in kept.glob("*"):
        (inputs / path.name).write_bytes(path.read_bytes())
    numbers = []
    for name, data in seeds().items():
        numbers.append(bundle_id(data))
        (files / f"{numbers[-1]:016x}.bundle").write_bytes(data)
        if target == "file":
            (inputs / name).write_bytes(data)
    if target == "block":
        for i, number in enumerate(numbers):
            ids = [number, 0, number, numbers[0]] * (i + 1)
            texts = [("c1",), (), (None,), ("unseen",)] * (i + 1)
            numeric = [(1.5,), (), (float("nan"),), (None,)] * (i + 1)
            (inputs / f"seed-{i}").write_bytes(block(ids, numeric, texts))
    command = [str(driver), SECONDS, SEED, str(inputs)]
    if KEEP:
        kept.mkdir(parents=True, exist_ok=True)
        command.append(str(kept))
    environment = {
        "TREEHOUSE_FUZZ_TARGET": target,
        "TREEHOUSE_FUZZ_FILES": str(files),
        "ASAN_OPTIONS": "abort_on_error=1:allocator_may_return_null=0",
        "UBSAN_OPTIONS": "abort_on_error=1:print_stacktrace=1",
    }
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert " 0 runs" not in done.stdout
    print(done.stdout)
