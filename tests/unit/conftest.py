"""Fixtures of the unit tests: the scorer's binary with a folder of its own."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scorer_pipe import Scorer
from udfs.build import build

# Read now: the session's own settings are taken out of the environment before the tests run.
VARIANT = os.environ.get("TREEHOUSE_SCORER_VARIANT", "release")
EMULATOR = os.environ.get("TREEHOUSE_SCORER_EMULATOR")
KERNEL = os.environ.get("TREEHOUSE_KERNEL")


@pytest.fixture(scope="session")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scorer]:
    """The built scorer. The environment runs the same tests with another one, as
    test_scorer_variants.py does: TREEHOUSE_SCORER_VARIANT=asan with sanitizers,
    TREEHOUSE_KERNEL=portable (or avx2, avx512) with another kernel than the processor's best,
    TREEHOUSE_SCORER_EMULATOR names the program that runs a variant for another processor."""
    binary: Path = build(variant=VARIANT)
    if EMULATOR:
        emulated = tmp_path_factory.mktemp("emulated") / "treehouse-scorer"
        emulated.write_text(f'#!/bin/sh\nexec {shlex.join([EMULATOR, str(binary)])} "$@"\n')
        emulated.chmod(0o755)
        binary = emulated
    with pytest.MonkeyPatch.context() as patch:
        if KERNEL is not None:
            patch.setenv("TREEHOUSE_KERNEL", KERNEL)
        yield Scorer(binary, tmp_path_factory.mktemp("bundles"))
