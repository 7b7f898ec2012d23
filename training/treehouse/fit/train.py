"""From a training set to a verified bundle on disk: fit, choose, calibrate, measure, compile."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treehouse.bundle import Bundle, Expression, Inputs
from treehouse.fit.candidate import Candidate
from treehouse.fit.candidates import choose, fit_candidates, left_out
from treehouse.fit.dataset import Dataset, load_dataset
from treehouse.fit.golden import golden_rows
from treehouse.fit.history import label_text, read_history
from treehouse.fit.job import Progress
from treehouse.fit.measure import measure
from treehouse.fit.refit import refit
from treehouse.fit.trainers import BAGGED
from treehouse.forest import compile_forest
from treehouse.ingest.profiling.features import empty_features
from treehouse.project.contract import Contract
from treehouse.project.errors import TreehouseError
from treehouse.project.files import write_whole

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings
    from treehouse.spec import Bagging, Boosting, Chain, Recurrent, Spec

_LIBRARIES = (
    "lightgbm", "xgboost", "scikit-learn", "treelite", "numpy", "chdb-core", "clickhouse-connect",
)  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """What `train` leaves for `publish`.

    Attributes:
        bundle: The artifact, with version 1 until `publish` numbers it.
        metrics: Test metrics of the model and of every baseline, and how it was chosen.
        path: Where the bundle was written.
        seconds: Duration of each step.
    """

    bundle: Bundle
    metrics: dict[str, Any]
    path: Path
    seconds: dict[str, float]


@dataclass(frozen=True)
class _Part:
    """The best candidate for one label, its heads, and its test metrics."""

    candidate: Candidate
    heads: Mapping[str, Expression]
    metrics: dict[str, Any]


def train(
    client: Client,
    settings: Settings,
    spec: Spec,
    progress: Progress | None = None,
    tuned: str = "",
) -> Trained:
    """Fit, choose, calibrate, measure, compile; the bundle goes to the home folder.

    Args:
        tuned: Which trial of which study the spec's parameters come from, for the record.

    Raises:
        TreehouseError: The training set is missing, too small, constant or off its contract.
    """
    clock = _Clock()
    data = load_dataset(client, settings, spec)
    clock.lap("read")
    part = _fit(client, settings, spec, data, progress)
    metrics = part.metrics
    if label := label_text(client, settings, data.contract):
        metrics["label"] = label
    if (history := read_history(client, settings, spec.use_case)) and history.note:
        metrics["history"] = history.note
    if empty := empty_features(client, settings, data.contract, "training_set"):
        metrics["carry_nothing"] = empty
    if absent := left_out(spec):
        metrics["left_out"] = absent
    for name in spec.also:
        further = _fit(client, settings, spec.for_label(name), data.for_label(name), progress)
        metrics["also"] = metrics.get("also", {}) | {name: further.metrics}
        part = _joined(part, name, further.candidate)
    clock.lap("fit")
    bundle = _assemble(spec, data, part)
    bundle = replace(bundle, info=_info(bundle, spec, data, part, metrics, tuned))
    path = settings.home / "trained" / f"{spec.use_case}.bundle"
    write_whole(path, bundle.to_bytes())
    clock.lap("compile")
    return Trained(bundle, metrics, path, clock.seconds)


def _fit(
    client: Client, settings: Settings, spec: Spec, data: Dataset, progress: Progress | None
) -> _Part:
    unfit: dict[str, str] = {}
    candidates = fit_candidates(spec, data, progress, unfit)
    chosen, choice = choose(spec, candidates, data)
    fitted, heads, notes = refit(spec, data, chosen, progress)
    others = [candidate for candidate in candidates if candidate is not chosen]
    metrics = measure(client, settings, spec, data, fitted, heads, others)
    unfit |= metrics.pop("not_fitted", {})
    if spec.best_possible and "best_possible" not in metrics:
        unfit["best possible"] = data.without_truth or "it is not known of all test rows"
    if unfit:
        metrics["not_fitted"] = unfit
    return _Part(fitted, heads, metrics | {"chosen": chosen.name, "choice": choice, **notes})


def _joined(part: _Part, name: str, further: Candidate) -> _Part:
    """The part with one more head, over further models behind its own."""
    models = part.candidate.models
    value = further.after(len(models)).parts[0]
    return replace(
        part,
        candidate=replace(part.candidate, models=models + further.models),
        heads={**part.heads, name: value},
    )


def _assemble(spec: Spec, data: Dataset, part: _Part) -> Bundle:
    contract = data.contract
    _check_heads(contract, part.heads)
    return Bundle(
        model=spec.use_case,
        version=1,
        contract=contract.hash,
        inputs=Inputs(
            contract.of_kind("numeric"),
            dict(data.categories),
            contract.of_kind("tokens"),
            contract.of_kind("series"),
        ),
        forests=tuple(compile_forest(model, data.names) for model in part.candidate.models),
        heads={name: part.heads[name] for name in contract.heads},
        explained=part.candidate.explained,
        networks=part.candidate.networks,
    )


def _check_heads(contract: Contract, heads: Mapping[str, Expression]) -> None:
    unknown = [name for name in contract.heads if name not in heads]
    if unknown:
        raise TreehouseError(
            f"The contract of {contract.use_case} has heads that no model answers.",
            value=", ".join(unknown),
            expected="some of " + ", ".join(heads),
            fix=f"mend `meta: {{heads: [...]}}` in models/{contract.use_case}/"
            f"{contract.use_case}.yml, then ./treehouse build",
        )


def _info(
    bundle: Bundle,
    spec: Spec,
    data: Dataset,
    part: _Part,
    metrics: dict[str, Any],
    tuned: str,
) -> dict[str, Any]:
    trainer, objective = part.candidate.name.split()
    parameters = asdict(options_of(spec, trainer))
    return {
        "lineage": {k: str(v) for k, v in data.lineage.items()},
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "parameters": parameters
        | {"trainer": trainer, "objective": objective, "refit": spec.refit}
        | ({"tuned": tuned} if tuned else {})
        | ({"windows": dict(data.windows)} if data.windows else {}),
        "metrics": metrics,
        "spec_hash": spec_hash(spec.use_case),
        "golden": _golden(bundle, data, part.candidate),
    }


def _golden(bundle: Bundle, data: Dataset, chosen: Candidate) -> dict[str, Any]:
    if not chosen.networks:
        return golden_rows(bundle, data, chosen)
    from treehouse.fit.golden_sequences import sequence_golden_rows

    return sequence_golden_rows(bundle, data, chosen)


def options_of(spec: Spec, trainer: str) -> Boosting | Bagging | Chain | Recurrent:
    """The parameters of a trainer."""
    if spec.task == "sequence":
        return spec.chain if trainer == "markov" else spec.recurrent
    return spec.bagging if trainer in BAGGED else spec.boosting


def spec_hash(use_case: str) -> str:
    """MD5 of the spec file and of the training code: what, besides the data, makes the model."""
    digest = hashlib.md5(usedforsecurity=False)
    from treehouse.spec import SPECS

    spec = SPECS / f"{use_case}.py"
    for path in (spec, *sorted(Path(__file__).parent.glob("*.py"))):
        digest.update(json.dumps([path.name, path.read_text()]).encode())
    return digest.hexdigest()


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now
