"""The parity suite again: with sanitizers, with each kernel, and built for another processor."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from treehouse.project.errors import TreehouseError
from udfs.build import build, find_compiler

HERE = Path(__file__).parent
#: All that the scorer must answer exactly, and what it must refuse.
PARITY = sorted(
    str(path)
    for pattern in ("test_forest_*.py", "test_scorer*.py")
    for path in HERE.glob(pattern)
    if path.name != Path(__file__).name
)
#: Where memory could be misused: generated models, odd and hostile files and blocks.
SANITIZED = [
    path
    for path in PARITY
    if not path.endswith(("lightgbm.py", "sklearn.py", "xgboost.py", "engine.py"))
]
EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")

pytestmark = pytest.mark.slow


def run_parity(*options: str, paths: Sequence[str] = PARITY, **environment: str) -> None:
    """The suite in a process of its own; it reads the environment before its tests run."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", *options, *paths],
        env=os.environ | environment,
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def test_parity_with_sanitizers() -> None:
    """A report of either sanitizer ends the process, and so fails the test that it answers."""
    run_parity(
        paths=SANITIZED,
        TREEHOUSE_SCORER_VARIANT="asan",
        ASAN_OPTIONS="detect_stack_use_after_return=1:allocator_may_return_null=0",
        UBSAN_OPTIONS="print_stacktrace=1",
    )


@pytest.mark.exhaustive  # the generated models of test_forest_properties.py meet every kernel
@pytest.mark.parametrize("kernel", ["portable", "avx2"])
def test_parity_with_lesser_kernels(kernel: str) -> None:
    run_parity(TREEHOUSE_KERNEL=kernel)


def test_parity_on_aarch64() -> None:
    """Emulated: `apt-get install qemu-user-static g++-aarch64-linux-gnu`, or ziglang to compile."""
    emulator = next(filter(None, map(shutil.which, EMULATORS)), None)
    if platform.machine() == "aarch64":
        pytest.skip("this processor is an aarch64 one: the other tests ran on it")
    if emulator is None:
        pytest.skip(f"no emulator: none of {', '.join(EMULATORS)} is on the PATH")
    try:
        find_compiler("aarch64")
    except TreehouseError as error:
        pytest.skip(f"no compiler for aarch64: {error}")
    build(variant="aarch64")
    run_parity(
        # the engine starts the scorer as its own processor's, and emulators take memory
        *("-k", "not test_scorer_engine and not memory and not held and not given_back"),
        TREEHOUSE_SCORER_VARIANT="aarch64",
        TREEHOUSE_SCORER_EMULATOR=emulator,
    )
