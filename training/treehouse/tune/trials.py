"""The tables of tuning, which are also its memory: a study goes on from the trials found there.

They are in macros/state/tune.sql.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.ddl import MACROS, is_there, run_ddl, storage
from treehouse.clickhouse.ordered import next_time
from treehouse.clickhouse.state import ensure_registry
from treehouse.project.errors import TreehouseError
from treehouse.tune.space import CANDIDATE, with_parameters

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings
    from treehouse.spec import Spec


@dataclass(frozen=True)
class Trial:
    """One trial that ended.

    Attributes:
        number: Counts from 0 within the study.
        parameters: Candidate and its parameters.
        state: complete, pruned or failed.
        is_default: Whether the parameters are the spec's.
        loss: Mean over the folds, or None unless complete.
        fold_losses: The newest fold first.
        curve: Loss by number of trees on the newest fold.
        seconds: How long it took.
        message: Why it failed.
    """

    number: int
    parameters: Mapping[str, Any]
    state: str
    is_default: bool
    loss: float | None = None
    fold_losses: tuple[float, ...] = ()
    curve: Mapping[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    message: str = ""


def ensure_trials(client: Client, settings: Settings) -> None:
    """Create the registry and the tables of tuning where they are missing.

    Where they are there nothing is created: who may tune need not have the right to.
    """
    names = ("versions", "trials", "tuned")
    if all(is_there(client, settings.registry_database, name) for name in names):
        return
    ensure_registry(client, settings)
    database = identifier(settings.registry_database)
    run_ddl(client, MACROS / "state" / "tune.sql", "trials_ddl", database, **storage(settings))


def read_trials(client: Client, settings: Settings, model: str, study: str) -> list[Trial]:
    """The trials of a study, in their order."""
    rows = client.query(
        "select trial, parameters, state, is_default, loss, fold_losses, curve, seconds, message"
        f" from {identifier(settings.registry_database)}.trials"
        " where model = {m:String} and study = {s:String} order by trial limit 1 by trial",
        parameters={"m": model, "s": study},
    ).result_rows
    return [
        Trial(
            int(row[0]), json.loads(row[1]), row[2], bool(row[3]), row[4], tuple(row[5]), *row[6:]
        )
        for row in rows
    ]


def write_trial(client: Client, settings: Settings, model: str, study: str, trial: Trial) -> None:
    """One row, seen by every query from then on."""
    row = {
        "model": model,
        "study": study,
        "trial": trial.number,
        "seconds": trial.seconds,
        "state": trial.state,
        "is_default": trial.is_default,
        "candidate": trial.parameters[CANDIDATE],
        "parameters": json.dumps(dict(trial.parameters)),
        "loss": trial.loss,
        "fold_losses": list(trial.fold_losses),
        "curve": dict(trial.curve),
        "message": trial.message,
    }
    _insert(client, settings, "trials", row)


def winner(trials: Sequence[Trial]) -> tuple[Trial, Trial]:
    """The trial to take, and the best with parameters of the spec, which it may be.

    Of many trials the least loss is partly luck. One is taken only where it gains more than the
    standard error of its gain over the folds (after the rule of one standard error of Breiman,
    Friedman, Olshen, Stone: Classification and Regression Trees, 1984, section 3.4.3).
    """
    complete = sorted((t for t in trials if t.loss is not None), key=lambda t: t.loss or 0.0)
    default = next(trial for trial in complete if trial.is_default)
    for trial in complete:
        if trial is default or _is_gain(default.fold_losses, trial.fold_losses):
            return trial, default
    return default, default


def _is_gain(before: Sequence[float], after: Sequence[float]) -> bool:
    gains = np.subtract(before, after)
    error = float(gains.std(ddof=1)) / np.sqrt(len(gains)) if len(gains) > 1 else 0.0
    return bool(gains.mean() > error)


def write_winner(
    client: Client, settings: Settings, spec: Spec, study: str, trials: Sequence[Trial]
) -> None:
    """Record the trial to take as what `train --tuned` fits."""
    best, default = winner(trials)
    table = f"{identifier(settings.registry_database)}.tuned"
    row = {
        "at": next_time(client, table, model=spec.use_case),
        "model": spec.use_case,
        "contract": spec.contract.hash,
        "study": study,
        "trial": best.number,
        "candidate": best.parameters[CANDIDATE],
        "parameters": json.dumps(dict(best.parameters)),
        "loss": best.loss,
        "default_loss": default.loss,
        "trials": len(trials),
    }
    _insert(client, settings, "tuned", row)


def tuned_spec(client: Client, settings: Settings, spec: Spec) -> tuple[Spec, str]:
    """The spec with the parameters that tuning found last, and which trial they come from.

    Raises:
        TreehouseError: The model was not tuned for its contract.
    """
    ensure_trials(client, settings)
    rows = client.query(
        f"select parameters, study, trial from {identifier(settings.registry_database)}.tuned"
        " where model = {m:String} and contract = {c:String} order by at desc limit 1",
        parameters={"m": spec.use_case, "c": spec.contract.hash},
    ).result_rows
    if not rows:
        raise TreehouseError(
            f"{spec.use_case} was not tuned for its contract.",
            value=spec.contract.hash,
            fix=f"./treehouse tune {spec.use_case}, or leave --tuned away",
        )
    parameters, study, trial = rows[0]
    return with_parameters(spec, json.loads(parameters)), f"trial {trial} of study {study}"


def _insert(client: Client, settings: Settings, table: str, row: Mapping[str, Any]) -> None:
    client.insert(
        table,
        [[*row.values()]],
        column_names=[*row],
        database=settings.registry_database,
    )
