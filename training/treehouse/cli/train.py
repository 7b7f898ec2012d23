"""Models: build, train, publish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from treehouse.cli.shared import JsonFlag, Model, Vars, client_of, example, show
from treehouse.project import console
from treehouse.project.contract import contracts, load_contract
from treehouse.project.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

app = typer.Typer()
_PANEL = "Models"
Force = Annotated[
    str, typer.Option(metavar="REASON", help="Publish though a gate refuses; the reason is kept.")
]


@app.command(rich_help_panel=_PANEL, epilog=example("build ltv"))
def build(
    context: typer.Context,
    use_cases: Annotated[
        list[str] | None,
        typer.Argument(help="Use cases, for example ltv, with all that they need; all by default."),
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option("--select", "-s", help="As dbt's --select; names may follow it, as in dbt."),
    ] = None,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="As dbt's; never touches the registry.")
    ] = False,
    _vars: Vars = "",
    json: JsonFlag = False,
) -> None:
    """Build and test features, training sets and scored views (dbt build)."""
    from treehouse.clickhouse.dbt import build as run

    settings: Settings = context.obj
    arguments = _selection(use_cases or [], select or [])
    arguments += ["--full-refresh"] if full_refresh else []
    with console.step("dbt build", json) as report:
        result = run(settings, arguments, report)
    show(result.counts, json)
    if not json:
        with client_of(settings) as client:
            names = [] if select else use_cases
            _show_choices(client, settings, names or list(contracts()))


def _show_choices(client: Client, settings: Settings, names: Sequence[str]) -> None:
    """What was chosen by the history that there is, and features that carry nothing."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from treehouse.fit.history import read_history
    from treehouse.ingest.profiling.features import empty_features

    for name in names:
        with suppress(ClickHouseError):  # what it reads was not built yet
            if (history := read_history(client, settings, name)) and history.note:
                console.out.print(f"{name}: {console.cell(history.note)}")
            if found := empty_features(client, settings, load_contract(name), "features"):
                told = f"{name}: carry nothing: {', '.join(found)}"
                console.out.print(f"[yellow]{console.cell(told)}[/]")


def _selection(words: list[str], select: list[str]) -> list[str]:
    """dbt's arguments: use cases with what they need, or selectors, of which dbt takes many after
    one --select.

    Raises:
        TreehouseError: A word is no use case.
    """
    if select:
        return ["--select", *select, *words]
    names = [load_contract(word).use_case for word in words]
    return ["--select", *(f"+path:models/{name}" for name in names)] if names else []


@app.command(rich_help_panel=_PANEL, epilog=example("train ltv --promote"))
def train(
    context: typer.Context,
    model: Model,
    publish_too: Annotated[bool, typer.Option("--publish", help="Publish it as well.")] = False,
    promote_too: Annotated[
        bool, typer.Option("--promote", help="Publish and promote it as well.")
    ] = False,
    tuned: Annotated[
        bool, typer.Option("--tuned", help="With the parameters that `tune` found last.")
    ] = False,
    force: Force = "",
    variables: Vars = "",
    json: JsonFlag = False,
) -> None:
    """Fit a model, measure it against its baselines, compile it."""
    from treehouse.cli.metrics_table import show_metrics
    from treehouse.spec import load_spec

    spec = load_spec(model)
    from treehouse.fit.train import train as run  # takes a while

    settings: Settings = context.obj
    if variables:  # they shape the training set
        from treehouse.clickhouse.dbt import build as run_build

        with console.step(f"build {model}", json) as report:
            run_build(settings, ["--select", f"+{model}_training_set"], report)
    with client_of(settings) as client:
        trial = ""
        if tuned:
            from treehouse.tune.trials import tuned_spec

            spec, trial = tuned_spec(client, settings, spec)
        with console.step(f"train {model}", json) as report:
            trained = run(client, settings, spec, report, trial)
        if not json:
            show_metrics(model, trained.metrics)
        published: dict[str, Any] = {}
        if publish_too or promote_too:
            with _refusal_in_full(json, trained.metrics):
                published = _publish(client, settings, model, promote_too, force)
    if json:
        times = {"metrics": trained.metrics, "seconds": trained.seconds}
        console.show_json({"model": model, **times, **published})
        return
    if published:
        what = "answers now" if promote_too else "is published"
        console.out.print(f"Version {published['version']} of {model} {what}.")
    else:
        console.out.print(
            f"Written to {console.cell(trained.path)}. Next: ./treehouse publish {model} --promote"
        )


@app.command(rich_help_panel=_PANEL, epilog=example("publish ltv --promote"))
def publish(
    context: typer.Context,
    model: Model,
    promote_too: Annotated[bool, typer.Option("--promote", help="Let it answer at once.")] = False,
    force: Force = "",
    json: JsonFlag = False,
) -> None:
    """Put the trained bundle into the engine, prove its answers, and see it through the gates."""
    settings: Settings = context.obj
    with (
        _refusal_in_full(json),
        client_of(settings) as client,
        console.step(f"publish {model}", json),
    ):
        published = _publish(client, settings, model, promote_too, force)
    if json:
        console.show_json({"model": model, **published})
        return
    gates = published.pop("gates")
    show({"model": model, **published}, json)
    _show_gates([(g["gate"], "yes" if g["passed"] else "forced", g["detail"]) for g in gates])


def _show_gates(rows: Sequence[tuple[str, str, str]]) -> None:
    console.show_table(("gate", "passed", "found"), rows)


@contextmanager
def _refusal_in_full(json: bool, metrics: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Show all gates before a refusal, which names those that refuse; JSON is one value."""
    from treehouse.registry.outcome import RefusedError

    try:
        yield
    except RefusedError as error:
        error.metrics = dict(metrics or {})
        if not json:
            _show_gates([(o.gate, "yes" if o.passed else "no", o.detail) for o in error.outcomes])
        raise


def _publish(
    client: Client, settings: Settings, model: str, promote_too: bool, force: str
) -> dict[str, Any]:
    """Publish, promote if asked to, and say what came of it."""
    from treehouse.registry.gates import read_gates
    from treehouse.registry.promotions import promote as run_promote
    from treehouse.registry.publish import publish as run

    version, parity = run(client, settings, model, force=force)
    if promote_too:
        run_promote(client, settings, model, version.version, "published and promoted")
    return {
        "version": version.version,
        "bundle": f"{version.bundle:016x}",
        "bytes": version.bytes,
        "answers_compared": parity.answers,
        "answers_different": parity.different,
        "is_champion": promote_too,
        "gates": read_gates(client, settings, model, version.version),
    }
