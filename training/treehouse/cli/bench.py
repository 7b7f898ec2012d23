"""`treehouse bench ...`: one command for each benchmark; tables for people, records for scripts."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from treehouse.cli.shared import example
from treehouse.project import console
from treehouse.project.settings import Settings

app = typer.Typer(help="Measure; figures of the README come from here.", no_args_is_help=True)
JsonFlag = Annotated[bool, typer.Option("--json", help="A list of records on stdout.")]
Rounds = Annotated[int, typer.Option(help="Rounds of which the median is taken.")]
Sizes = Annotated[list[int] | None, typer.Option(help="Rows of the table; repeatable.")]


@app.command(epilog=example("bench scorer --shape small"))
def scorer(
    shape: Annotated[
        list[str] | None,
        typer.Option(help="Only this shape; repeatable. See training/treehouse/bench."),
    ] = None,
    rounds: Rounds = 5,
    tl2cgen: Annotated[
        bool, typer.Option("--tl2cgen", help="Also TL2cgen: compiles for minutes.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the figures into this .svg or .png file.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Nanoseconds a row on one core, beside the trainers' own libraries."""
    from treehouse.bench import models
    from treehouse.bench.plot import check_plot, draw
    from treehouse.bench.scorer import machine, run

    if plot:
        check_plot(plot)
    console.err.print(machine())
    records = run(shape or models.NAMES, rounds, tl2cgen)
    if plot:
        draw(records, plot, machine())
    _show(records, json)


@app.command(epilog=example("bench explain --json"))
def explain(
    shape: Annotated[list[str] | None, typer.Option(help="Only this shape; repeatable.")] = None,
    rounds: Rounds = 5,
    json: JsonFlag = False,
) -> None:
    """Nanoseconds a row of each input's contribution, beside the libraries' pred_contrib."""
    from treehouse.bench.explain import SHAPES, run
    from treehouse.bench.scorer import machine

    console.err.print(machine())
    _show(run(shape or SHAPES, rounds), json)


@app.command(epilog=example("bench footprint --rows 10000"))
def footprint(
    shape: Annotated[
        str, typer.Option(help="Which model; see training/treehouse/bench/models.py.")
    ] = "large",
    rows: Annotated[list[int] | None, typer.Option(help="Rows of a block; repeatable.")] = None,
    json: JsonFlag = False,
) -> None:
    """Time to compile and to load a model, and a process's memory beside it."""
    from treehouse.bench.footprint import BLOCKS, run
    from treehouse.bench.scorer import machine

    console.err.print(machine())
    _show(run(shape, rows or BLOCKS), json)


@app.command(epilog=example("bench features --users 100000"))
def features(
    context: typer.Context,
    users: Annotated[int, typer.Option(help="Simulated users.")] = 1_000_000,
    json: JsonFlag = False,
) -> None:
    """Raw events to features and training set, beside the bare aggregation query."""
    from treehouse.bench.features import run

    settings: Settings = context.obj
    with console.step("bench features", json) as report:
        records = run(settings, users, report)
    _show(records, json)


@app.command(epilog=example("bench sql --json"))
def sql(
    context: typer.Context,
    rows: Sizes = None,
    rounds: Rounds = 3,
    json: JsonFlag = False,
) -> None:
    """Models over whole tables in SQL, beside the kernel alone and the usual ways."""
    from treehouse.bench.sql import run

    with console.step("bench sql", json) as report:
        counts = tuple(rows or (1_000_000, 10_000_000))
        records = run(context.obj, counts, rounds=rounds, report=report)
    _show(records, json)


@app.command(epilog=example("bench network --json"))
def network(
    context: typer.Context,
    rows: Annotated[int, typer.Option(help="Rows of the table.")] = 200_000,
    rounds: Rounds = 3,
    json: JsonFlag = False,
) -> None:
    """Neural networks in SQL, beside ONNX Runtime alone and the forest scorer."""
    from treehouse.bench.network import run
    from treehouse.bench.scorer import machine

    console.err.print(machine())
    with console.step("bench network", json) as report:
        records = run(context.obj, rows, rounds, report)
    _show(records, json)


@app.command(epilog=example("bench drift --json"))
def drift(
    context: typer.Context,
    rows: Sizes = None,
    rounds: Rounds = 3,
    json: JsonFlag = False,
) -> None:
    """Drift of 15 features against stored statistics, beside their means alone."""
    from treehouse.bench.drift import run

    with console.step("bench drift", json) as report:
        counts = tuple(rows or (1_000_000, 10_000_000))
        records = run(context.obj, counts, rounds, report)
    _show(records, json)


@app.command(epilog=example("bench prefetch --minutes 20 --scale 100"))
def prefetch(
    context: typer.Context,
    hours: Annotated[int, typer.Option(help="Simulated, that models learn from.")] = 24,
    minutes: Annotated[int, typer.Option(help="Simulated, that each arm is judged by.")] = 20,
    speed: Annotated[float, typer.Option(help="Simulated seconds in one.")] = 15,
    sessions: Annotated[int, typer.Option(help="Sittings on a working day.")] = 200,
    scale: Annotated[float, typer.Option(help="Factor of the shop's rows.")] = 400,
    seed: Annotated[int, typer.Option(help="Equal seeds ask the same.")] = 7,
    arm: Annotated[list[str] | None, typer.Option(help="Only this one; repeatable.")] = None,
    json: JsonFlag = False,
) -> None:
    """Latency of a workload's dashboards with answers asked in advance, beside simple rules.

    In a home folder of its own, on the embedded engine, whatever the target is.
    """
    from treehouse.bench.prefetch import Options, run

    options = Options(
        hours=hours, minutes=minutes, speed=speed, sessions=sessions, scale=scale, seed=seed,
        arms=tuple(arm or ()),
    )  # fmt: skip
    with (
        tempfile.TemporaryDirectory(prefix="treehouse-") as home,
        console.step("bench prefetch", json) as report,
    ):
        settings = replace(context.obj, home=Path(home), target="embedded")
        records = run(settings, options, report)
    _show(records, json)


@app.command(epilog=example("bench refit --seed 1 --seed 2"))
def refit(
    context: typer.Context,
    rows: Annotated[int, typer.Option(help="Of each table, about.")] = 50_000,
    seed: Annotated[list[int] | None, typer.Option(help="Of rows and fits; repeatable.")] = None,
    table: Annotated[list[str] | None, typer.Option(help="Only this one; repeatable.")] = None,
    json: JsonFlag = False,
) -> None:
    """What fitting anew to all but the test rows brings, on real tables cut at several times.

    In a home folder of its own, on the embedded engine, whatever the target is.
    """
    from treehouse.bench.refit import Options, run

    options = Options(rows, tuple(seed or (1,)), tuple(table or ()))
    with (
        tempfile.TemporaryDirectory(prefix="treehouse-") as home,
        console.step("bench refit", json) as report,
    ):
        settings = replace(context.obj, home=Path(home), target="embedded")
        records = run(settings, options, report)
    _show(records, json)


@app.command(epilog=example("bench latency --json"))
def latency(
    context: typer.Context,
    use_case: Annotated[str, typer.Option(help="Whose champion is called.")] = "ltv",
    calls: Annotated[int, typer.Option(help="Calls of each query and setting.")] = 1000,
    clients: Annotated[int, typer.Option(help="Clients of the open loop.")] = 16,
    rate: Annotated[float, typer.Option(help="Calls a second, over all clients.")] = 100,
    json: JsonFlag = False,
) -> None:
    """One row by SQL, beside SELECT 1 in the same run; on the target as it is."""
    from treehouse.bench.latency import run

    with console.step("bench latency", json):
        records = run(context.obj, use_case, calls, clients, rate)
    _show(records, json)


def _show(records: list[dict[str, Any]], json: bool) -> None:
    if json:
        console.show_json(records)
    elif records:
        columns = [name for name in records[0] if name != "bench"]
        console.show_table(columns, [[r.get(name) for name in columns] for r in records])
