"""Fixtures of the unit tests: the scorer's binary with a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scorer_pipe import Scorer
from udfs.build import build

# Read now: the session's own settings are taken out of the environment before the tests run.
VARIANT = os.environ.get("TREEHOUSE_SCORER_VARIANT", "release")
KERNEL = os.environ.get("TREEHOUSE_KERNEL")


@pytest.fixture(scope="session")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scorer]:
    """The built scorer. TREEHOUSE_SCORER_VARIANT=asan runs the same tests with sanitizers,
    TREEHOUSE_KERNEL=portable (or avx2, avx512) with another kernel than the processor's best."""
    binary: Path = build(variant=VARIANT)
    with pytest.MonkeyPatch.context() as patch:
        if KERNEL is not None:
            patch.setenv("TREEHOUSE_KERNEL", KERNEL)
        yield Scorer(binary, tmp_path_factory.mktemp("bundles"))
