"""Experiments: plan, start, grow, stop, list, log exposures, read results, look at a shadow."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from treehouse.cli.shared import JsonFlag, client_of, example, show
from treehouse.experiments.definition import Definition, check_plan, read_definition
from treehouse.experiments.options import definition_of
from treehouse.project import console
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings

app = typer.Typer(
    help="Experiments: variant('name', user_id) assigns, experiment_results judges.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(help="The experiment's name.")]
Reason = Annotated[str, typer.Option(help="For the record.")]


@app.command(epilog=example("experiment start big_button --metric revenue --share 0.1"))
def start(
    context: typer.Context,
    name: Name,
    file: Annotated[
        Path | None, typer.Option(help="YAML with any of the fields; options go before it.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Of experiment_metrics; the first one is primary.")
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="name=weight, the control first; repeatable. Default: two halves."),
    ] = None,
    share: Annotated[float | None, typer.Option(help="Of all units, how many take part.")] = None,
    model: Annotated[str | None, typer.Option(help="The use case whose versions compete.")] = None,
    version: Annotated[
        list[str] | None, typer.Option(help="variant=version; other variants get the champion.")
    ] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="The version scores everything, decides nothing.")
    ] = False,
    direction: Annotated[str | None, typer.Option(help="increase or decrease is better.")] = None,
    pre_days: Annotated[int | None, typer.Option(help="Days before that reduce variance.")] = None,
    alpha: Annotated[float | None, typer.Option(help="False positives that are accepted.")] = None,
    power: Annotated[float | None, typer.Option(help="Chance to find the lift.")] = None,
    lift: Annotated[float | None, typer.Option(help="The smallest lift worth finding.")] = None,
    units: Annotated[int | None, typer.Option(help="Planned, in all variants together.")] = None,
    method: Annotated[str | None, typer.Option(help="always_valid or fixed (one look).")] = None,
    salt: Annotated[str | None, typer.Option(help="Of the assignment; default: the name.")] = None,
    description: Annotated[str | None, typer.Option(help="What is tried, and why.")] = None,
    reason: Reason = "",
    json: JsonFlag = False,
) -> None:
    """Start an experiment: units are assigned from the next query on."""
    from treehouse.experiments.state import start as run

    given = {
        "metrics": tuple(metric) if metric else None, "share": share, "model": model,
        "is_shadow": shadow or None, "direction": direction, "pre_days": pre_days, "alpha": alpha,
        "power": power, "minimum_lift": lift, "planned_units": units, "method": method,
        "salt": salt, "description": description,
    }  # fmt: skip
    values = (read_definition(file) if file else {}) | {"experiment": name}
    values |= {key: value for key, value in given.items() if value is not None}
    definition = definition_of(values, variant or (), version or ())
    with client_of(context.obj) as client:
        started = run(client, context.obj, definition, reason)
    show(dataclasses.asdict(started), json)
    if not json:
        console.out.print(_next(started), markup=False)


def _next(started: Definition) -> str:
    name = started.experiment
    if started.is_shadow:
        return f"Next: ./treehouse experiment shadow {name}"
    return (
        f"variant('{name}', user_id) assigns now. Log who sees it with ./treehouse experiment "
        f"expose {name} --from <table> --unit user_id, or insert into exposures."
    )


@app.command(epilog=example("experiment grow big_button --share 0.5"))
def grow(
    context: typer.Context,
    name: Name,
    share: Annotated[float, typer.Option(help="Of all units, more than now.")],
    reason: Reason = "",
    json: JsonFlag = False,
) -> None:
    """Let more units take part; nobody changes the variant."""
    from treehouse.experiments.state import grow as run

    with client_of(context.obj) as client:
        grown = run(client, context.obj, name, share, reason)
    show({"experiment": name, "share": grown.share}, json)


@app.command(epilog=example('experiment stop big_button --reason "treatment wins"'))
def stop(context: typer.Context, name: Name, reason: Reason = "", json: JsonFlag = False) -> None:
    """End an experiment: variant() answers '' and the champion scores everybody."""
    from treehouse.experiments.state import stop as run

    with client_of(context.obj) as client:
        run(client, context.obj, name, reason)
    show({"experiment": name, "state": "stopped", "reason": reason}, json)


@app.command(name="list", epilog=example("experiment list"))
def list_all(context: typer.Context, json: JsonFlag = False) -> None:
    """List the experiments, newest first."""
    from treehouse.experiments.state import experiments

    with client_of(context.obj) as client:
        found = experiments(client, context.obj)
    if json:
        console.show_json(found)
        return
    if not found:
        console.out.print("No experiment yet. Begin with: ./treehouse experiment start --help")
        return
    console.show_table(
        ("experiment", "state", "share", "variants", "model", "metrics", "started (UTC)", "by"),
        [
            (
                row["experiment"], row["state"] + (", shadow" if row["is_shadow"] else ""),
                row["share"],
                ", ".join(f"{v} {w:.3g}" for v, w in zip(row["variants"], row["weights"],
                                                         strict=True)),
                row["model"], ", ".join(row["metrics"]), f"{row['started_at']:%Y-%m-%d %H:%M}",
                row["started_by"],
            )
            for row in found
        ],
    )  # fmt: skip


@app.command(epilog=example("experiment expose big_button --from app.logins --unit user_id"))
def expose(
    context: typer.Context,
    name: Name,
    source: Annotated[
        str, typer.Option("--from", help="Model or database.table of who was there.")
    ],
    unit: Annotated[str, typer.Option(help="Its column of units.")],
    time: Annotated[str | None, typer.Option(help="Its column of the time; default: now.")] = None,
    json: JsonFlag = False,
) -> None:
    """Log every unit of a table that takes part as exposed; again changes nothing."""
    from treehouse.experiments.state import expose as run

    with client_of(context.obj) as client:
        units = run(client, context.obj, name, source, unit, time)
    show({"experiment": name, "units": units}, json)


@app.command(epilog=example("experiment results big_button"))
def results(context: typer.Context, name: Name, json: JsonFlag = False) -> None:
    """Show whether it helped: verdict, lift, interval; warnings first."""
    from treehouse.cli.experiment_tables import show_results
    from treehouse.experiments.results import read_results

    settings: Settings = context.obj
    with client_of(settings) as client, console.step(f"results of {name}", json):
        found = read_results(client, settings, name)
    if json:
        console.show_json(
            {"health": found.health, "verdicts": found.verdicts, "results": found.rows}
        )
        return
    show_results(found)


@app.command(epilog=example("experiment shadow ltv_v4_shadow --decision 'value > 100'"))
def shadow(
    context: typer.Context,
    name: Name,
    decision: Annotated[
        str | None, typer.Option(help="SQL over `value`; default: the tier by rank.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Compare a challenger in the shadow with the champion, over all features."""
    from treehouse.experiments.shadow import agreement

    with client_of(context.obj) as client, console.step(f"shadow of {name}", json):
        found = agreement(client, context.obj, name, decision)
    show(found, json)


@app.command(epilog=example("experiment plan --mean 12 --deviation 40 --lift 0.05"))
def plan(
    context: typer.Context,
    lift: Annotated[float, typer.Option(help="The smallest relative change worth finding.")],
    mean: Annotated[float | None, typer.Option(help="Of the metric without a change.")] = None,
    deviation: Annotated[
        float | None, typer.Option(help="Over the units; leave it away for a rate.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Measure it on this metric instead.")] = None,
    source: Annotated[
        str | None, typer.Option("--from", help="Model or database.table of all who may take part.")
    ] = None,
    unit: Annotated[str, typer.Option(help="Its column of units.")] = "user_id",
    days: Annotated[int, typer.Option(help="Length of the experiment.")] = 14,
    variants: Annotated[int, typer.Option(help="Of equal weights, the control included.")] = 2,
    alpha: Annotated[float, typer.Option(help="False positives that are accepted.")] = 0.05,
    power: Annotated[float, typer.Option(help="Chance to find the lift.")] = 0.8,
    json: JsonFlag = False,
) -> None:
    """Say how many units an experiment needs, from numbers or from a metric's history."""
    from treehouse.experiments.plan import Baseline, measure_baseline, required_units

    names = tuple(f"variant_{i}" for i in range(variants))
    wanted = check_plan(
        Definition("plan", variants=names, minimum_lift=lift, alpha=alpha, power=power)
    )
    with client_of(context.obj) as client:
        if metric and source:
            baseline = measure_baseline(client, context.obj, metric, source, unit, days)
        elif mean is not None:
            spread = (mean * (1 - mean)) ** 0.5 if deviation is None and 0 < mean < 1 else deviation
            baseline = Baseline(mean, spread or 0.0)
        else:
            raise TreehouseError(
                "There is nothing to plan with.",
                expected="--mean and --deviation, a rate as --mean, or --metric and --from",
            )
        needed = required_units(client, baseline, wanted)
    show({**dataclasses.asdict(baseline), "minimum_lift": lift, "required_units": needed}, json)
