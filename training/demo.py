"""The whole way once: load, build, train, publish, promote, score, and say how it went."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from training import console
from training.dbt import build
from training.engine import connect, identifier, release
from training.errors import TreehouseError
from training.fit.train import train
from training.publish import publish
from training.registry import promote
from training.report import beaten, show_metrics
from training.settings import Settings
from training.spec import Spec, load_spec, specs

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

    Returns:
        target; seconds by step; rows by table; models: version, metrics, baselines and
        interval of each; top: the best rows of each use case's decisions.
    """
    chosen = [load_spec(name) for name in only] if only else list(specs().values())
    run = _Run(quiet)
    if fresh:
        _start_over(settings)
    client = connect(settings)
    try:
        rows: dict[str, Any] = {}
        for spec in chosen:
            rows |= run.step(
                f"load data for {spec.use_case}",
                partial(spec.demo, client, settings, {"users": users}),
            )
        select = [word for spec in chosen for word in ("--select", f"+path:models/{spec.use_case}")]
        run.step("build features", lambda report: build(settings, select, report))
        models = {spec.use_case: _one_model(run, client, settings, spec) for spec in chosen}
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
        "top": top,
    }


def _one_model(run: _Run, client: Client, settings: Settings, spec: Spec) -> dict[str, Any]:
    name = spec.use_case
    trained = run.step(f"train {name}", lambda report: train(client, settings, spec, report))
    version, parity = run.step(f"publish {name}", lambda _: publish(client, settings, name))
    promote(client, settings, name, version.version, "demo")
    return {
        "version": version.version,
        "bytes": version.bytes,
        "parity": parity.__dict__,
        "beats": beaten(trained.metrics),
        **trained.metrics,
    }


class _Run:
    """Shows each step and keeps its duration."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.seconds: dict[str, float] = {}

    def step(self, title: str, work: Callable[[console.Report], Result]) -> Result:
        started = time.perf_counter()
        with console.step(title, self.quiet) as report:
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
    """The summary for people."""
    for name, model in result["models"].items():
        console.out.print()
        show_metrics(name, model)
        for baseline, won in model["beats"].items():
            if lost := [metric.upper() for metric, better in won.items() if not better]:
                console.out.print(
                    f"[yellow]Not better than {console.cell(baseline)} in {', '.join(lost)}[/]"
                )
        top = result["top"][name]
        console.show_table(list(top[0]), [list(row.values()) for row in top], title="Ten best")
    answering = [f"version {m['version']} of {n}" for n, m in result["models"].items()]
    console.out.print(
        f"\nAll of it took {sum(result['seconds'].values()):.0f} s. "
        f"{', '.join(answering)} answer now.\n\nThree things to try next:"
    )
    for command in _NEXT:
        console.out.print(f"  {command}", style="bold", markup=False)


_NEXT = (
    './treehouse sql "select value_tier, count(), sum(predicted_value_usd) '
    'from treehouse.purchase_value_decisions group by value_tier"',
    "./treehouse models",
    './treehouse rollback purchase_value --reason "to see that it takes one row"',
)
