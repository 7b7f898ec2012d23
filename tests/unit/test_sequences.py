"""What comes next in a sequence: known chances are found, and labels are exact."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from importlib import util
from typing import Any

import numpy as np
import pytest

from tests.support.sequences import (
    CONTRACT,
    LABELS,
    PLACES,
    chances,
    sequence_dataset,
    sequence_spec,
    with_tokens,
)
from treehouse.bundle import Bundle, Inputs
from treehouse.fit.candidate import Candidate
from treehouse.fit.candidates import fit_candidates, left_out, wanted
from treehouse.fit.dataset import Dataset
from treehouse.fit.golden_sequences import sequence_golden_rows
from treehouse.fit.heads import make_heads
from treehouse.fit.markov import Look, fit_chain
from treehouse.fit.sequence_metrics import sequence_metrics
from treehouse.fit.sequences import ranked
from treehouse.network import batch_of, predict, rows_of
from treehouse.project.errors import TreehouseError
from treehouse.registry.holdout import Comparison
from treehouse.registry.quality_gates import _beats, _ties
from treehouse.spec import Chain
from treehouse.spec.gates import Gates

HAS_TORCH = bool(util.find_spec("torch") and util.find_spec("onnxscript"))
NAMES = [str(int(label)) for label in LABELS]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return sequence_dataset()


@pytest.fixture(scope="module")
def markov(data: Dataset) -> Candidate:
    return fit_candidates(sequence_spec(), data)[0]


def test_markov_finds_the_chances(data: Dataset, markov: Candidate) -> None:
    """Of the pairs that came most often; temperature and smoothing move them a little."""
    chance = chances()
    came = data.batch().column("tokens").to_pylist()
    for (first, second), _ in Counter(tuple(row[0][-2:]) for row in came).most_common(5):
        before, last = NAMES.index(first), NAMES.index(second)
        row = with_tokens(data, NAMES[before], NAMES[last])
        labels, shares = ranked(markov.network_outputs(row), PLACES)
        best = np.argsort(-chance[before, last])[:PLACES]
        assert labels[0, 0] == LABELS[best[0]]
        assert shares[0, 0] == pytest.approx(chance[before, last, best[0]], abs=0.1)
        assert (np.diff(shares[0]) <= 0).all()


@pytest.mark.parametrize("tokens", [(), ("unseen",), (NAMES[0], "unseen")])
def test_without_a_known_token_the_most_popular_come(
    data: Dataset, markov: Candidate, tokens: tuple[str, ...]
) -> None:
    train = data.label[data.rows("train")]
    values, counts = np.unique(train, return_counts=True)
    labels, _ = ranked(markov.network_outputs(with_tokens(data, *tokens)), PLACES)
    assert labels[0].tolist() == values[np.argsort(-counts)][:PLACES].tolist()


def test_the_network_is_the_table_to_the_bit(data: Dataset, markov: Candidate) -> None:
    batch = data.batch(data.rows("test"))
    assert markov.reference
    ours = predict(markov.networks[0], rows_of(batch, CONTRACT))
    np.testing.assert_array_equal(ours, markov.reference(batch))


def test_fewer_labels_than_places_are_filled_up_with_0(data: Dataset) -> None:
    few = data.only(np.isin(data.label, LABELS[:2]))
    candidate = fit_candidates(sequence_spec(), few)[0]
    labels, shares = ranked(candidate.network_outputs(few, few.rows("test")), PLACES)
    assert set(np.unique(labels)) == {0.0, *LABELS[:2]}
    assert (labels[:, 2] == 0).all()
    assert shares[:, 2] == pytest.approx(0, abs=1e-6)


def test_golden_rows_are_the_trainers(data: Dataset, markov: Candidate) -> None:
    heads, _ = make_heads(sequence_spec(), data, markov)
    inputs = Inputs(("hour",), dict(data.categories), ("recent",), ("gaps",))
    bundle = Bundle("made_up", 1, CONTRACT.hash, inputs, (), heads, networks=markov.networks)
    found = sequence_golden_rows(bundle, data, markov, rows=64)
    assert {name: len(column) for name, column in found.items()} == dict.fromkeys(found, 64)
    assert np.shape(found["answers"]) == (64, len(heads))
    lengths = {len(row[0]) for row in found["tokens"]}
    assert {0, 4, 8} <= lengths


def test_within_a_category_the_chain_is_another(data: Dataset) -> None:
    """The label is the category's own, whatever came before."""
    roles = np.random.default_rng(1).integers(0, 2, len(data.label))
    batch = data.batch().to_pydict() | {"categorical": [[("analyst", "viewer")[r]] for r in roles]}
    given = replace(
        data, categories={"role": ("analyst", "viewer")}, sequences=batch_of(**batch),
        label=LABELS[roles],
    )  # fmt: skip
    found = fit_candidates(sequence_spec(chain=Chain(within=("role",))), given)[0]
    labels, shares = ranked(found.network_outputs(given), PLACES)
    assert (labels[:, 0] == given.label).all()
    assert shares[:, 0].min() > 0.9
    with pytest.raises(TreehouseError, match="no category") as refused:
        fit_candidates(sequence_spec(chain=Chain(within=("hour",))), data)
    assert refused.value.expected == "some of: role"


def test_what_came_once_leaves_room_for_what_is_new(data: Dataset) -> None:
    """A third of the labels are new each time, and as much is not given to any that is known."""
    is_new = np.arange(len(data.label)) % 3 == 0
    label = np.where(is_new, 7.0 + np.arange(len(data.label)), LABELS[0])
    found = fit_candidates(sequence_spec(), replace(data, label=label))[0]
    labels, shares = ranked(found.network_outputs(data, data.rows("test")), PLACES)
    assert (labels[:, 0] == LABELS[0]).all()
    assert shares.sum(axis=1).mean() == pytest.approx(2 / 3, abs=0.03)


def test_leaving_a_row_out_is_not_having_counted_it() -> None:
    rng = np.random.default_rng(0)
    codes, label = rng.integers(0, 5, (40, 2)), rng.integers(0, 3, 40)
    certain, known = np.array([1, 0.5, 1]), np.full(3, 1 / 3)
    looks = [Look("recent", -1, 5, 2), Look("recent", -2, 5, 2)]
    chain = fit_chain(looks, {"recent": codes}, label, certain, known, 0.5, 99)
    found = chain.shares_without(chain.path({"recent": codes}), label)
    for row in range(40):
        rest = np.arange(40) != row
        other = fit_chain(looks, {"recent": codes[rest]}, label[rest], certain, known, 0.5, 99)
        context = other.path({"recent": codes[[row]]})[0, -1]
        np.testing.assert_allclose(found[row], other.shares()[context], rtol=1e-12)


def test_only_the_most_frequent_contexts_are_kept() -> None:
    codes, label = np.array([[2], [3], [3], [4], [4], [4]]), np.array([0, 1, 1, 2, 2, 0])
    looks = [Look("recent", -1, 5, 2)]
    chain = fit_chain(looks, {"recent": codes}, label, np.ones(3), np.full(3, 1 / 3), 1.0, 2)
    assert len(chain.counts) == 1 + 2
    assert chain.counts[chain.path({"recent": np.array([[3], [4]])})[:, -1]].tolist() == [
        [0, 2, 0],
        [1, 0, 2],
    ]
    assert chain.path({"recent": np.array([[0], [1], [2]])})[:, -1].tolist() == [0, 0, 0]


def test_a_tie_with_a_rule_is_no_refusal() -> None:
    """Within the standard error of the difference; elsewhere a model has to be better."""
    tie = Comparison(100, 0.31, 0.30, -0.01, 0.03, 0.02)
    worse = replace(tie, ours=0.33)
    assert _ties("rule", tie, Gates()).passed
    assert not _ties("rule", worse, Gates()).passed
    assert not _beats("rule", tie, Gates()).passed
    assert "its standard error is 6.7%" in str(_ties("rule", worse, Gates()))


def test_metrics_by_hand() -> None:
    actual = np.array([1.0, 2.0, 3.0, 9.0])
    labels = np.array([[1.0, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, np.nan]])
    shares = np.array([[0.5, 0.3, 0.1]] * 4)
    found = sequence_metrics(actual, labels, shares)
    assert (found["recall_1"], found["recall_3"], found["recall_5"]) == (0.25, 0.75, 0.75)
    assert found["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 4)
    assert found["log_loss"] == pytest.approx(-np.log([0.5, 0.3, 0.1, 0.001]).mean())
    assert sequence_metrics(actual, labels)["log_loss"] is None
    # Two of four first answers are right, of which 0.7 were promised.
    shares = np.array([[0.7, 0.2, 0.1]] * 4)
    found = sequence_metrics(np.array([1.0, 1, 2, 9]), labels, shares)
    assert found["calibration_error"] == pytest.approx(0.7 - 0.5)


def test_without_pytorch_the_markov_chain_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    find = util.find_spec
    monkeypatch.setattr(
        "treehouse.fit.candidates.find_spec", lambda name: None if name == "torch" else find(name)
    )
    spec = sequence_spec(trainers=("markov", "lstm"))
    assert wanted(spec) == [("markov", "log_loss")]
    assert left_out(spec) == {"lstm": ".venv/bin/pip install -e '.[torch]'"}
    with pytest.raises(TreehouseError, match="torch"):
        wanted(sequence_spec(trainers=("lstm",)))


def test_a_contract_without_a_sequence_is_refused(data: Dataset) -> None:
    features = tuple(f for f in CONTRACT.features if f.name != "recent")
    other = replace(data, contract=replace(CONTRACT, features=features))
    with pytest.raises(TreehouseError, match="no sequence"):
        fit_candidates(sequence_spec(), other)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_TORCH, reason="needs the extra torch")
def test_lstm_goes_on_from_the_chain(data: Dataset) -> None:
    """It answers as well as the chain, and is calibrated; ONNX Runtime answers as PyTorch."""
    spec: Any = sequence_spec(trainers=("markov", "lstm"), chain=Chain(within=("role",)))
    markov, lstm = fit_candidates(spec, data)
    test, rows = data.rows("test"), data.batch(data.rows("test"))
    ours, theirs = (ranked(each.network_outputs(data, test), PLACES) for each in (lstm, markov))
    found, wanted = (sequence_metrics(data.label[test], *each) for each in (ours, theirs))
    assert found["recall_1"] > wanted["recall_1"] - 0.02
    assert found["log_loss"] < wanted["log_loss"] + 0.01
    assert found["calibration_error"] < 0.05
    assert set(np.unique(ours[0])) <= set(LABELS)
    assert lstm.reference
    again = predict(lstm.networks[0], rows_of(rows, CONTRACT))
    assert np.mean(again[:, 0] == lstm.reference(rows)[:, 0]) > 0.99
