"""The search: one trial after the other, each asked of Optuna and told to the registry.

Trials are proposed by the tree-structured Parzen estimator (Bergstra, Bardenet, Bengio, Kegl 2011)
and stopped early by the median rule (Golovin et al. 2017, section 3.2.2), both of Optuna's. The
loss is that by which candidates are chosen, on folds that respect time.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.turns import alone
from treehouse.fit.candidates import task_of
from treehouse.fit.dataset import Dataset
from treehouse.fit.job import Listener
from treehouse.fit.train import spec_hash
from treehouse.project.errors import TreehouseError
from treehouse.spec import Spec
from treehouse.tune.folds import forward_folds
from treehouse.tune.space import CANDIDATE, candidates, default_trials, ranges, with_parameters
from treehouse.tune.trials import (
    Trial,
    ensure_trials,
    read_trials,
    winner,
    write_trial,
    write_winner,
)

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

Report = Callable[[str, int | None, int | None], None]
_REPORT_EVERY = 10  # trees
_FAILURES = 5
"""Failed trials in a row, with none that succeeded, after which there is no hope."""


class _OutOfTimeError(Exception):
    """The search's time is over in the middle of a trial, which then never was."""


@dataclass(frozen=True)
class Study:
    """What a search found.

    Attributes:
        name: Its study in the table `trials`.
        trials: All of them, those of earlier calls too.
        new: How many this call added.
        best: The one to take: of the least loss, if that is more than luck.
        default: The best of the spec's own parameters.
    """

    name: str
    trials: list[Trial]
    new: int
    best: Trial
    default: Trial


def search(
    client: Client,
    settings: Settings,
    spec: Spec,
    data: Dataset,
    *,
    trials: int,
    timeout: float | None = None,
    seed: int = 1,
    report: Report | None = None,
) -> Study:
    """Search until the study has so many trials, or so many seconds are over.

    A study is known by its data, contract, code and seed: called again, it goes on.

    Raises:
        TreehouseError: Optuna is not installed, the history is too short, the time is over before
            the spec's own parameters were tried, or all trials fail.
    """
    optuna = _import_optuna()
    folds = forward_folds(data)
    name = _study_name(spec, data, seed)
    with alone(client, settings, f"tune {spec.use_case} {name}"):
        ensure_trials(client, settings)
        return _search(client, settings, spec, (optuna, folds, name), trials, timeout, seed, report)


def _search(
    client: Client,
    settings: Settings,
    spec: Spec,
    study_of: tuple[Any, list[Dataset], str],
    trials: int,
    timeout: float | None,
    seed: int,
    report: Report | None,
) -> Study:
    optuna, folds, name = study_of
    done = read_trials(client, settings, spec.use_case, name)
    before, deadline = len(done), time.monotonic() + (timeout or math.inf)
    study = _study(optuna, spec, done, seed)
    while len(done) < trials and time.monotonic() < deadline:
        if report:
            report(_progress(done), len(done), trials)
        try:
            trial = _try(optuna, study, spec, folds, len(done), deadline)
        except _OutOfTimeError:
            break
        write_trial(client, settings, spec.use_case, name, trial)
        done.append(trial)
        _refuse_hopeless(spec, done)
    return _result(client, settings, spec, name, done, before, timeout)


def _try(
    optuna: Any, study: Any, spec: Spec, folds: list[Dataset], number: int, deadline: float
) -> Trial:
    """Ask for parameters and see how they do; Optuna is told as well."""
    defaults = default_trials(spec)
    is_default = number < len(defaults)
    if is_default:
        study.enqueue_trial(defaults[number])
    asked = study.ask(candidates(spec))
    for key, wanted in ranges(spec, asked.params[CANDIDATE]).items():
        suggest = asked.suggest_int if isinstance(wanted.low, int) else asked.suggest_float
        suggest(key, wanted.low, wanted.high, log=wanted.log)
    parameters, started = dict(asked.params), time.perf_counter()
    curve: dict[int, float] = {}
    losses: list[float] = []
    state, message = "complete", ""

    def heard(tree: int, loss: float) -> None:
        if time.monotonic() > deadline:
            raise _OutOfTimeError
        if not losses and tree % _REPORT_EVERY == 0 and math.isfinite(loss):
            curve[tree] = loss
            asked.report(loss, tree)
            if not is_default and asked.should_prune():
                raise optuna.TrialPruned

    try:
        for fold in folds:
            if losses and time.monotonic() > deadline:
                raise _OutOfTimeError
            losses.append(_loss(with_parameters(spec, parameters), fold, heard))
    except _OutOfTimeError:
        raise
    except optuna.TrialPruned:
        state = "pruned"
    except Exception as error:  # whatever a library can't fit is a row with its message
        state, message = "failed", f"{type(error).__name__}: {error}"
    loss = sum(losses) / len(losses) if state == "complete" else None
    study.tell(asked, loss, state=_states(optuna)[state])
    return Trial(
        number, parameters, state, is_default, loss, tuple(losses), curve,
        round(time.perf_counter() - started, 3), message,
    )  # fmt: skip


def _loss(spec: Spec, fold: Dataset, heard: Callable[[int, float], None]) -> float:
    """A candidate's loss on the rows that a fold evaluates."""
    task = task_of(spec)
    candidate = task.fit(spec, fold, spec.trainers[0], spec.objectives[0], Listener(loss=heard))
    loss: float = task.loss(spec, candidate, fold, fold.rows("test"))
    if not math.isfinite(loss):
        raise ArithmeticError(f"the loss is {loss}")
    return loss


def _study(optuna: Any, spec: Spec, done: list[Trial], seed: int) -> Any:
    """Optuna's study with the trials that are there, so that it knows what they taught."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="minimize",
        # Moved on with the trials: a study that goes on must not repeat its first proposals.
        sampler=optuna.samplers.TPESampler(seed=seed + len(done), n_startup_trials=10),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=3 * _REPORT_EVERY),
    )
    for trial in done:
        known = candidates(spec) | ranges(spec, trial.parameters[CANDIDATE])
        study.add_trial(
            optuna.trial.create_trial(
                state=_states(optuna)[trial.state],
                params=dict(trial.parameters),
                distributions=known,
                value=trial.loss,
                intermediate_values=dict(trial.curve),
            )
        )
    return study


def _states(optuna: Any) -> dict[str, Any]:
    states = optuna.trial.TrialState
    return {"complete": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}


def _study_name(spec: Spec, data: Dataset, seed: int) -> str:
    """Losses compare only where data, contract, code and seed are equal."""
    searched = {
        candidate: {name: str(span) for name, span in ranges(spec, candidate).items()}
        for candidate in map(str, candidates(spec)[CANDIDATE].choices)
    }
    facts = (
        spec.use_case, spec.contract.hash, data.lineage["rows"], data.lineage["fingerprint"],
        spec_hash(spec.use_case), repr((spec.boosting, spec.bagging, spec.chain, spec.recurrent)),
        searched, seed,
    )  # fmt: skip
    digest = hashlib.md5(json.dumps(facts, default=str).encode(), usedforsecurity=False)
    return digest.hexdigest()[:12]


def _refuse_hopeless(spec: Spec, done: list[Trial]) -> None:
    if len(done) >= _FAILURES and all(trial.state == "failed" for trial in done):
        raise TreehouseError(
            f"All {len(done)} trials of {spec.use_case} failed.",
            value=done[-1].message,
            fix=f"see that ./treehouse train {spec.use_case} works",
        )


def _result(
    client: Client,
    settings: Settings,
    spec: Spec,
    name: str,
    done: list[Trial],
    before: int,
    timeout: float | None,
) -> Study:
    if not any(trial.is_default and trial.loss is not None for trial in done):
        raise TreehouseError(
            f"No trial with the parameters of {spec.use_case}'s own spec is complete.",
            value=f"{len(done)} trials"
            + (f" within {timeout:.0f} s" if timeout else "")
            + (f"; the last failed: {done[-1].message}" if done and done[-1].message else ""),
            expected="one at least, to compare with",
            fix=f"./treehouse tune {spec.use_case} with a longer --timeout and more --trials; "
            "finished trials are kept",
        )
    write_winner(client, settings, spec, name, done)
    return Study(name, done, len(done) - before, *winner(done))


def _progress(done: list[Trial]) -> str:
    losses = [trial.loss for trial in done if trial.loss is not None]
    return f"trial {len(done)}" + (f", least loss {min(losses):.4g}" if losses else "")


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise TreehouseError(
            "Tuning needs the package optuna.", fix="pip install 'treehouse[tune]'"
        ) from error
    return optuna
