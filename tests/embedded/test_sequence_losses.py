"""The losses of sequences in SQL against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client

from tests.support.sequences import PLACES, sequence_spec
from treehouse.fit.sequence_metrics import sequence_metrics
from treehouse.fit.sequences import row_losses
from treehouse.registry.losses import model_loss, rule_losses


def test_sequences_are_judged_by_the_share_and_rules_by_the_place(client: Client) -> None:
    rng = np.random.default_rng(3)
    actual = rng.integers(1, 6, 60).astype(np.float64)
    labels = np.array([rng.permutation(np.arange(1.0, 6.0))[:PLACES] for _ in actual])
    shares = np.sort(rng.dirichlet(np.ones(5), 60)[:, :PLACES])[:, ::-1]
    heads = [n for n in sequence_spec().contract.heads if n != "value"]
    at = [heads.index(f"{kind}_{i + 1}") for kind in ("next", "share") for i in range(PLACES)]
    answers = np.zeros((60, len(heads)))
    answers[:, at] = np.hstack([labels, shares])
    answers = np.column_stack([labels[:, 0], answers])
    rows = ", ".join(
        f"({label}, {row.tolist()}, {rule.tolist()})"
        for label, row, rule in zip(actual, answers, labels, strict=True)
    )
    spec = sequence_spec()
    ours, rule = rule_losses(spec, "answers", "rule")
    found = client.query(
        f"select avg({model_loss(spec, 'answers')}), avg({ours}), avg({rule}) from values("
        f"'_label Float64, answers Array(Float64), rule Array(Float64)', {rows})"
    ).result_rows[0]
    rank = 1 - sequence_metrics(actual, labels)["mrr"]
    wanted = (row_losses(actual, labels, shares).mean(), rank, rank)
    assert found == pytest.approx(wanted, rel=1e-12)
