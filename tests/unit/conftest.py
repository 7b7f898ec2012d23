"""Fixtures of the unit tests: the scorer's binary with a folder of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.scorer_pipe import Scorer
from udfs.build import build


@pytest.fixture(scope="session")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """The built scorer; TREEHOUSE_SCORER_VARIANT=asan runs the same tests with sanitizers."""
    binary: Path = build(variant=os.environ.get("TREEHOUSE_SCORER_VARIANT", "release"))
    return Scorer(binary, tmp_path_factory.mktemp("bundles"))
