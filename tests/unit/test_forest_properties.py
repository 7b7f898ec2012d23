"""Generated models and rows, each prediction equal to its trainer's own: a million with --slow."""

from __future__ import annotations

import os
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.generated_models import Generated, models
from tests.support.parity import margins_and_outputs
from tests.support.rows import hard_rows
from tests.support.scorer_pipe import Scorer
from treehouse.forest import compile_forest

KERNELS = ("avx512", "avx2", "portable")
#: A longer run sets this: models of the slow test.
EXAMPLES = int(os.environ.get("TREEHOUSE_EXAMPLES", "400"))
ROWS = 5000


def compare(scorer: Scorer, generated: Generated, kernel: str, seed: int) -> int:
    """Compare on hard rows; return how many predictions were compared."""
    forest = compile_forest(generated.model, generated.features)
    rng = np.random.default_rng(seed)
    count = ROWS if len(generated.features) <= 100 else 100
    rows = hard_rows(forest, rng, count, finite=not generated.takes_infinite)
    for feature in generated.categorical:
        rows[:, feature] = rng.choice([*range(700), -1, -0.5, 3.7, 1e9, np.nan], count)
    if not generated.takes_nan:
        rows = np.nan_to_num(rows, nan=0.5)
    with mock.patch.dict(os.environ, TREEHOUSE_KERNEL=kernel):
        margins, outputs = margins_and_outputs(scorer, forest, rows)
    if generated.exact_margin:
        np.testing.assert_array_equal(margins, generated.own(rows))
    else:  # 2**x: the C library's pow against exp2, within an ulp each
        np.testing.assert_array_max_ulp(outputs, generated.own(rows), maxulp=2)
    return int(margins.size)


def compared_predictions(scorer: Scorer, examples: int) -> int:
    """Compare as many generated models; return how many predictions were equal."""
    compared = 0

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # a failing model is small enough to look at as it is
        suppress_health_check=list(HealthCheck),
    )
    @given(models(), st.sampled_from(KERNELS), st.integers(0, 2**32 - 1))
    def run(generated: Generated, kernel: str, seed: int) -> None:
        nonlocal compared
        compared += compare(scorer, generated, kernel, seed)

    run()
    return compared


@pytest.mark.slow
def test_generated_predictions_are_equal(scorer: Scorer) -> None:
    assert compared_predictions(scorer, 40) >= 100_000


@pytest.mark.exhaustive
def test_a_million_generated_predictions_are_equal(scorer: Scorer) -> None:
    assert compared_predictions(scorer, EXAMPLES) >= 1_000_000
