"""Retraining: features, training set, fit, gates, publish, promotion; each run is in the log.

A failed step leaves the champion as it is, and the run says which step. What is due is decided by
the spec's `Retrain`: the newest version's age, an alert that opened since, a new contract.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.dbt import build
from treehouse.clickhouse.state import ensure_registry
from treehouse.clickhouse.turns import BusyError
from treehouse.fit.splits import fitted_rows
from treehouse.monitor.state import ensure_monitoring, read_alerts
from treehouse.project import console
from treehouse.project.contract import Contract
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import ROOT, Settings
from treehouse.registry.promotions import OvertakenError, promote, versions
from treehouse.registry.publish import publish
from treehouse.retrain.log import Run, ensure_runs, running

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.spec import Spec

BAD = ("refused", "failed", "busy")
"""Outcomes that left undone what was asked for."""

_MENDABLE = ("drift", "unseen", "prediction", "quality")
"""Kinds of alerts that a model learnt from newer rows may answer; a late source is none."""


@dataclass(frozen=True)
class Cause:
    """Why a model is fitted anew: a word for the log, and a sentence."""

    trigger: str
    reason: str


HAND = Cause("hand", "asked for")


@dataclass(frozen=True)
class Result:
    """What became of one model.

    Attributes:
        outcome: promoted, published (a person promotes), unchanged (too few new rows), refused
            (by a gate), failed, busy (another run), or not due.
        step: The last step that began.
        version: The version that was published, or 0.
        detail: Why, where that is not plain.
    """

    model: str
    outcome: str
    trigger: str = ""
    reason: str = ""
    run: int = 0
    step: str = ""
    version: int = 0
    detail: str = ""
    seconds: float = 0.0


def steps(spec: Spec) -> list[tuple[str, str]]:
    """Name of each step, and what it does; promotion only where the spec allows it."""
    name = spec.use_case
    first = [
        ("features", f"dbt build --select +{name}_features"),
        ("training set", f"dbt build --select +{name}_training_set"),
        ("fit", "fit the candidates, keep the best, measure"),
        ("publish", "compare with the trainer's answers, pass the gates, register"),
    ]
    if not spec.retrain.promote:
        return first
    return [
        *first,
        ("promote", "the new version answers"),
        ("decisions", f"dbt build of what follows in models/{name}"),
    ]


def why_due(client: Client, settings: Settings, spec: Spec) -> Cause | None:
    """Why a model is due now; None if it is not."""
    published = versions(client, settings, spec.use_case)
    if not published:
        return Cause("first", "nothing is published yet")
    newest = next((v for v in published if v.fits_contract and v.state == "published"), None)
    if newest is None:
        return Cause("contract", "the feature contract has changed since the last version")
    if spec.retrain.on_drift and (
        alert := _open_alert(client, settings, spec.use_case, newest.version)
    ):
        return Cause("drift", alert)
    days = _days_since(client, newest.created_at)
    if days > spec.retrain.max_age_days:
        return Cause(
            "age",
            f"version {newest.version} is {days:.0f} days old; "
            f"the spec allows {spec.retrain.max_age_days:g}",
        )
    return None


def retrain(
    client: Client, settings: Settings, spec: Spec, cause: Cause = HAND, quiet: bool = False
) -> Result:
    """Carry a model from its sources to a new version; a failed step is a result, not an error.

    Raises:
        Exception: A bug, or an interruption; the run is in the log as failed all the same.
    """
    started = time.perf_counter()
    ensure_registry(client, settings)
    ensure_runs(client, settings)
    try:
        with running(client, settings, spec.use_case, cause.trigger, cause.reason) as run:
            outcome, detail = _to_its_end(run, spec, cause, quiet)
    except BusyError as error:
        return Result(spec.use_case, "busy", cause.trigger, cause.reason, detail=str(error))
    return Result(
        spec.use_case, outcome, cause.trigger, cause.reason, run.number, run.step, run.version,
        detail, round(time.perf_counter() - started, 1),
    )  # fmt: skip


def _to_its_end(run: Run, spec: Spec, cause: Cause, quiet: bool) -> tuple[str, str]:
    """All steps and the log's last row: how it ended, and why."""
    try:
        outcome, detail = _carry_out(run, spec, cause, quiet)
    except (TreehouseError, ClickHouseError) as error:
        outcome, detail = "refused" if _was_refused(run) else "failed", _words(error)
    except BaseException as error:
        with suppress(ClickHouseError):
            run.end("failed", detail=f"{type(error).__name__}: {error}")
        raise
    with suppress(ClickHouseError):  # the engine is gone: the next run finds this one without end
        run.end(outcome, detail)
    return outcome, detail


def _carry_out(run: Run, spec: Spec, cause: Cause, quiet: bool) -> tuple[str, str]:
    """All steps; the outcome and, where it needs words, why."""
    client, settings, name = run.client, run.settings, spec.use_case
    before = _champion(client, settings, spec.contract)
    with _step(run, "features", quiet) as report:
        build(settings, ["--select", f"+{name}_features"], report)
    with _step(run, "training set", quiet) as report:
        only = ["--select", f"+{name}_training_set", "--exclude", f"+{name}_features"]
        build(settings, only, report)
    if cause.trigger in ("age", "drift"):
        rows = _new_rows(client, settings, spec)
        if rows < spec.retrain.min_new_rows:
            return "unchanged", f"{rows} new training rows of {spec.retrain.min_new_rows} wanted"
    with _step(run, "fit", quiet) as report:
        from treehouse.fit.train import train  # takes a while

        train(client, settings, spec, report)
    with _step(run, "publish", quiet):
        version, _ = publish(client, settings, name)
        run.version = version.version
    if not spec.retrain.promote:
        return "published", f"promote it: ./treehouse promote {name} {run.version}"
    with _step(run, "promote", quiet):
        reason = f"retrained: {cause.reason}"
        try:
            promote(client, settings, name, run.version, reason, instead_of=before)
        except OvertakenError:
            return "published", "not promoted: another version was, in the meantime"
    with _step(run, "decisions", quiet) as report:
        rest = ["--select", f"path:models/{name}", "--exclude", f"+{name}_training_set"]
        build(settings, rest, report)
    return "promoted", ""


@contextmanager
def _step(run: Run, name: str, quiet: bool) -> Iterator[console.Report]:
    """A step in the log and on the terminal."""
    run.enter(name)
    with console.step(f"{run.model}: {name}", quiet) as report:
        yield report


def _was_refused(run: Run) -> bool:
    """Whether a gate of the publish refused what this run fitted."""
    registry = identifier(run.settings.registry_database)
    with suppress(ClickHouseError):
        rows = run.client.query(
            f"select count() from {registry}.gates where model = {{m:String}} and version = 0 "
            f"and not passed and at > (select min(at) from {registry}.run_steps "
            "where run_id = {id:UUID})",
            parameters={"m": run.model, "id": run.id},
        ).result_rows
        return run.step == "publish" and rows[0][0] > 0
    return False


def _words(error: Exception) -> str:
    """The error without the engine's stack trace."""
    return str(error).split(", Stack trace")[0].strip()


def _champion(client: Client, settings: Settings, contract: Contract) -> int:
    """The version that answers for a contract; 0 for none."""
    found = versions(client, settings, contract.use_case)
    return next((v.version for v in found if v.is_champion and v.contract == contract.hash), 0)


def _open_alert(client: Client, settings: Settings, model: str, version: int) -> str:
    """An open alert about a version that fitting anew may mend, in words; "" for none."""
    ensure_monitoring(client, settings)
    for alert in read_alerts(client, settings, "state = 'open'", model):
        if alert.kind in _MENDABLE and alert.version >= version:
            return f"{alert.kind} of {alert.name}: {alert.detail}"
    return ""


def _days_since(client: Client, time: datetime) -> float:
    """Days by the engine's clock, which wrote the time as well."""
    seconds = client.query(
        "select dateDiff('second', {t:DateTime64(6, 'UTC')}, now64(6))", parameters={"t": time}
    ).result_rows[0][0]
    return float(seconds) / 86400


def _new_rows(client: Client, settings: Settings, spec: Spec) -> int:
    """Rows to fit that are later than all that the newest version of the contract was fitted on."""
    contract = spec.contract
    table = f"{identifier(settings.database)}.{identifier(contract.use_case + '_training_set')}"
    rows = client.query(
        f"select count() from {fitted_rows(table, spec.fitted)} "
        f"where split = 'train' and {identifier(contract.time)} > ("
        f"select argMax(training_to, version) from {identifier(settings.registry_database)}"
        ".versions where model = {m:String} and contract = {c:String})",
        parameters={"m": contract.use_case, "c": contract.hash},
    ).result_rows
    return int(rows[0][0])


def cron_line(settings: Settings, spec: Spec) -> str:
    """A line for a crontab that retrains a model when it is due."""
    words = ["./treehouse", "--target", settings.target, "retrain", spec.use_case, "--due"]
    home = f"TREEHOUSE_HOME={shlex.quote(str(settings.home))}"
    command = f"cd {shlex.quote(str(ROOT))} && {home} {shlex.join(words)}"
    return f"{spec.retrain.schedule} {command}".replace("%", r"\%")
