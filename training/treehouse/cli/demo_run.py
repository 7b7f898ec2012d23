"""The whole way once: load, build, train, publish, promote, score, and say how it went."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from treehouse.cli.metrics_table import beaten
from treehouse.clickhouse.client import connect, identifier, release
from treehouse.clickhouse.dbt import build
from treehouse.fit.train import train
from treehouse.project import console
from treehouse.project.errors import TreehouseError
from treehouse.project.scales import percent
from treehouse.project.settings import Settings
from treehouse.registry.promotions import promote
from treehouse.registry.publish import publish
from treehouse.report.summary import METRICS, best_rule
from treehouse.simulation.demo_data import fill_sources
from treehouse.spec import Spec, load_spec, specs

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Result = TypeVar("Result")


def run_demo(
    settings: Settings,
    *,
    fresh: bool = False,
    only: tuple[str, ...] = (),
    users: int = 100_000,
    quiet: bool = False,
) -> dict[str, Any]:
    """Carry every use case (or `only` some) from raw data to decisions.

    A model that is refused is told, and the others go on.

    Returns:
        target; seconds by step; rows by table; models: version, metrics, baselines and
        interval of each that answers; refused: why others don't; top: the best rows of each use
        case's decisions.
    """
    chosen = [load_spec(name) for name in only] or [s for s in specs().values() if s.demo]
    chosen.sort(key=_cared_for)
    run = _Run(quiet, steps=3 * len(chosen) + 2)
    if not quiet:
        _announce(settings, chosen, users)
    if fresh:
        _start_over(settings)
    client = connect(settings)
    try:
        rows: dict[str, Any] = {}
        for spec in chosen:
            rows |= run.step(
                f"load data for {spec.use_case}",
                partial(fill_sources, client, settings, spec, {"users": users}),
            )
        select = [word for spec in chosen for word in ("--select", f"+path:models/{spec.use_case}")]
        run.step("build features", lambda report: build(settings, select, report))
        models, refused = {}, {}
        for spec in chosen:
            try:
                models[spec.use_case] = _one_model(run, client, settings, spec)
            except TreehouseError as error:
                refused[spec.use_case] = error.as_dict()
                if not quiet:
                    console.err.print(f"[yellow]{spec.use_case} is left out:[/] ", end="")
                    console.err.print(error.what, markup=False)
        decisions = [word for spec in chosen for word in ("--select", f"{spec.use_case}_decisions")]
        run.step("build decisions", lambda report: build(settings, decisions, report))
        for spec in chosen:
            rows |= _row_counts(client, settings, spec)
        top = {spec.use_case: _top(client, settings, spec) for spec in chosen}
    finally:
        client.close()
    return {
        "target": settings.target,
        "seconds": run.seconds,
        "rows": rows,
        "models": models,
        "refused": refused,
        "top": top,
    }


_CARED_FOR = ("value", "probability", "classes", "sequence")


def _cared_for(spec: Spec) -> tuple[int, str]:
    """What people look for first: money, then chances, then what the engine does by itself."""
    return _CARED_FOR.index(spec.task), spec.use_case


def _announce(settings: Settings, chosen: list[Spec], users: int) -> None:
    """What will be done, before it is."""
    where = str(settings.home) if settings.target == "embedded" else "the server"
    lines = [f"The demo loads data, builds features and fits these models on {where}:"]
    lines += [f"  {spec.use_case:<16} {spec.about}" for spec in chosen]
    if any(spec.demo == "simulated_platform" for spec in chosen):
        lines.append(f"The app with its {users:,} users is simulated; purchases are real ones.")
    lines.append("All models take some three minutes on two cores. What is made stays there.")
    console.err.print("\n".join(lines), markup=False, soft_wrap=True)


def _one_model(run: _Run, client: Client, settings: Settings, spec: Spec) -> dict[str, Any]:
    name = spec.use_case
    trained = run.step(f"train {name}", lambda report: train(client, settings, spec, report))
    version, parity = run.step(f"publish {name}", lambda _: publish(client, settings, name))
    promote(client, settings, name, version.version, "demo")
    return {
        "about": spec.about,
        "version": version.version,
        "bytes": version.bytes,
        "parity": parity.__dict__,
        "beats": beaten(trained.metrics),
        **trained.metrics,
    }


class _Run:
    """Shows each step, with its number, and keeps its duration."""

    def __init__(self, quiet: bool, steps: int) -> None:
        self.quiet, self.steps = quiet, steps
        self.seconds: dict[str, float] = {}

    def step(self, title: str, work: Callable[[console.Report], Result]) -> Result:
        started = time.perf_counter()
        self.seconds[title] = 0.0
        number = len(self.seconds)
        with console.step(f"{number} of {self.steps}: {title}", self.quiet) as report:
            result = work(report)
        self.seconds[title] = round(time.perf_counter() - started, 2)
        return result


def _start_over(settings: Settings) -> None:
    """Drop everything that Treehouse holds on the target.

    Raises:
        TreehouseError: A database is not named as Treehouse's own are: it may hold more.
    """
    own = (settings.database, settings.registry_database, settings.raw_database)
    if others := [name for name in own if not name.startswith("treehouse")]:
        raise TreehouseError(
            "--fresh would drop a database that may not be Treehouse's alone.",
            value=", ".join(others),
            expected="names that begin with treehouse, as in dbt_project.yml and profiles.yml",
            fix="drop what you no longer need by hand, or leave --fresh away",
        )
    client = connect(settings)
    for name in (*own, "simulation_truth"):
        client.command(f"drop database if exists {identifier(name)} sync")
    client.close()
    if settings.target == "embedded":
        shutil.rmtree(settings.home / "trained", ignore_errors=True)
        release(settings)


def _row_counts(client: Client, settings: Settings, spec: Spec) -> dict[str, int]:
    tables = [f"{spec.use_case}_{part}" for part in ("features", "training_set", "decisions")]
    return {
        table: client.query(
            f"select count() from {identifier(settings.database)}.{identifier(table)}"
        ).result_rows[0][0]
        for table in tables
    }


def _top(client: Client, settings: Settings, spec: Spec) -> list[dict[str, Any]]:
    """The ten rows of the highest predicted value."""
    key = spec.contract.keys[0]
    table = f"{identifier(settings.database)}.{identifier(spec.use_case + '_scores')}"
    columns = [
        row[0]
        for row in client.query(
            "select name from system.columns where database = {d:String} and table = {t:String} "
            "and name like 'predicted%' order by position",
            parameters={"d": settings.database, "t": f"{spec.use_case}_scores"},
        ).result_rows
    ]
    named = ", ".join(map(identifier, (key, *columns)))
    result = client.query(
        f"select {named} from {table} order by {identifier(columns[0])} desc, {identifier(key)} "
        "limit 10"
    )
    return list(result.named_results())


def show_demo(result: dict[str, Any]) -> None:
    """One screen for people: each question with its answer, one picture, and what to try next."""
    models = result["models"]
    for name, model in models.items():
        console.out.print(f"[bold]{name}[/]: ", end="")
        console.out.print(model["about"], markup=False)
        console.out.print("  " + _answer(model), markup=False)
    for name, error in result["refused"].items():
        console.out.print(f"[yellow]{name} does not answer:[/] ", end="")
        console.out.print(f"{error['error']}\n  {error['fix'] or ''}", markup=False)
    for name, model in models.items():
        if deciles := model["model"].get("deciles"):
            _show_picture(name, model, deciles)
            break
    console.out.print(f"\nAll of it took {sum(result['seconds'].values()):.0f} s. Try next:")
    first = next(iter(models), "ltv")
    for command in _NEXT:
        console.out.print("  " + command.format(first), style="bold", markup=False)


_NEXT = (
    './treehouse sql "select * from treehouse.{}_scores limit 5"',
    "./treehouse report {} --open",
    './treehouse rollback {} --reason "to see that it takes one row"',
)
_HEADLINE = {"value": "rmse", "probability": "auc", "classes": "cost", "sequence": "recall_1"}
"""By what predict_<use_case> is judged on the screen; the report has the others."""


def _answer(model: dict[str, Any]) -> str:
    """How good the model was on rows later than its own, how good the best rule, and what of it."""
    key, unit = _HEADLINE[model["task"]], model["unit"]
    metric, ours = METRICS[key], model["model"][key]
    said = f"It {metric.sentence(ours, unit)}"
    rules = model["baselines"].items()
    best = best_rule([{"name": n, "kind": "rule", "metrics": row} for n, row in rules], key)
    if best is None:
        return said + "."
    theirs = best["metrics"][key]
    gain = metric.loss(theirs) - metric.loss(ours)
    so = "better" if gain > 0 else "no better"
    if metric.better == "lower" and theirs:
        so = f"{percent(abs(gain) / theirs)} {'less' if gain > 0 else 'more'}"
    return f"{said}; the best simple rule, {best['name']}: {metric.show(theirs, unit)}. So: {so}."


def _show_picture(name: str, model: dict[str, Any], deciles: list[dict[str, float]]) -> None:
    """What each tenth of the rows brought, by the order of the predictions."""
    what = {"usd": "of all revenue", "share": "of all that came true"}.get(model["unit"], "of all")
    console.out.print(f"\n{name}: what each tenth brought {what}, highest predictions first")
    shares = [10 * decile["lift"] for decile in deciles]
    shown, others = shares[:_TENTHS], shares[_TENTHS:]
    labels = [f"tenth {i + 1}" for i in range(len(shown))]
    for line in console.bars([*shown, sum(others)], [*labels, "others "]):
        console.out.print(f"  {line} %", markup=False)


_TENTHS = 3
"""Tenths with a bar of their own; the rest share one, and the screen is not filled by them."""
