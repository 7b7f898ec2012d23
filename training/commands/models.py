"""Models: build, train, publish, list, promote, roll back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from training import console
from training.commands.shared import JsonFlag, Model, client_of, example, show
from training.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

app = typer.Typer()
_PANEL = "Models"


@app.command(rich_help_panel=_PANEL, epilog=example("build -s +path:models/ltv"))
def build(
    context: typer.Context,
    select: Annotated[
        list[str] | None, typer.Option("--select", "-s", help="As dbt's --select; repeatable.")
    ] = None,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="As dbt's; never touches the registry.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Build and test features, training sets and scored views (dbt build)."""
    from training.dbt import build as run

    settings: Settings = context.obj
    arguments = [word for name in select or () for word in ("--select", name)]
    arguments += ["--full-refresh"] if full_refresh else []
    with console.step("dbt build", json) as report:
        result = run(settings, arguments, report)
    show(result.counts, json)


@app.command(rich_help_panel=_PANEL, epilog=example("train ltv --promote"))
def train(
    context: typer.Context,
    model: Model,
    publish_too: Annotated[bool, typer.Option("--publish", help="Publish it as well.")] = False,
    promote_too: Annotated[
        bool, typer.Option("--promote", help="Publish and promote it as well.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Fit a model, measure it against its baselines, compile it."""
    from training.report import show_metrics
    from training.spec import load_spec

    spec = load_spec(model)
    from training.fit.train import train as run  # takes a while

    settings: Settings = context.obj
    with client_of(settings) as client:
        with console.step(f"train {model}", json) as report:
            trained = run(client, settings, spec, report)
        published: dict[str, Any] = {}
        if publish_too or promote_too:
            published = _publish(client, settings, model, promote_too)
    if json:
        times = {"metrics": trained.metrics, "seconds": trained.seconds}
        console.show_json({"model": model, **times, **published})
        return
    show_metrics(model, trained.metrics)
    if published:
        what = "answers now" if promote_too else "is published"
        console.out.print(f"Version {published['version']} of {model} {what}.")
    else:
        console.out.print(f"Written to {trained.path}. Next: ./treehouse publish {model} --promote")


@app.command(rich_help_panel=_PANEL, epilog=example("publish ltv --promote"))
def publish(
    context: typer.Context,
    model: Model,
    promote_too: Annotated[bool, typer.Option("--promote", help="Let it answer at once.")] = False,
    json: JsonFlag = False,
) -> None:
    """Put the trained bundle into the engine and prove its answers equal to the trainer's."""
    settings: Settings = context.obj
    with client_of(settings) as client, console.step(f"publish {model}", json):
        published = _publish(client, settings, model, promote_too)
    show({"model": model, **published}, json)


def _publish(client: Client, settings: Settings, model: str, promote_too: bool) -> dict[str, Any]:
    """Publish, promote if asked to, and say what came of it."""
    from training.publish import publish as run
    from training.registry import promote as run_promote

    version, parity = run(client, settings, model)
    if promote_too:
        run_promote(client, settings, model, version.version, "published and promoted")
    return {
        "version": version.version,
        "bundle": f"{version.bundle:016x}",
        "bytes": version.bytes,
        "answers_compared": parity.answers,
        "answers_different": parity.different,
        "is_champion": promote_too,
    }


@app.command(rich_help_panel=_PANEL, epilog=example("models ltv"))
def models(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help="Only this use case.")] = None,
    json: JsonFlag = False,
) -> None:
    """List the published versions; the champion answers."""
    from training.contract import load_contract
    from training.registry import ensure_registry, versions

    settings: Settings = context.obj
    if model:
        load_contract(model)  # says what there is, and suggests
    with client_of(settings) as client:
        ensure_registry(client, settings)
        found = versions(client, settings, model)
    if json:
        console.show_json([v.__dict__ for v in found])
        return
    if not found:
        console.out.print("Nothing is published yet. Begin with: ./treehouse demo")
        return
    console.show_table(
        ("model", "version", "champion", "created (UTC)", "mae", "gini", "bytes", "file"),
        [
            (
                v.model, v.version, "yes" if v.is_champion else "",
                f"{v.created_at:%Y-%m-%d %H:%M}", v.metrics["model"]["mae"],
                v.metrics["model"]["gini"], v.bytes,
                f"{v.bundle:016x}.bundle",
            )
            for v in found
        ],
    )  # fmt: skip


@app.command(rich_help_panel=_PANEL, epilog=example('promote ltv 2 --reason "sees the new ads"'))
def promote(
    context: typer.Context,
    model: Model,
    version: Annotated[int, typer.Argument(help="Its number; see treehouse models.")],
    reason: Annotated[str, typer.Option(help="For the record.")] = "",
    json: JsonFlag = False,
) -> None:
    """Let a version answer from the next query on."""
    from training.registry import promote as run

    settings: Settings = context.obj
    with client_of(settings) as client:
        chosen = run(client, settings, model, version, reason)
    show({"model": model, "champion": chosen.version}, json)


@app.command(rich_help_panel=_PANEL, epilog=example('rollback ltv --reason "too high in Brazil"'))
def rollback(
    context: typer.Context,
    model: Model,
    reason: Annotated[str, typer.Option(help="For the record.")] = "",
    json: JsonFlag = False,
) -> None:
    """Undo the last promotion: the version before it answers again, or none (NULL)."""
    from training.registry import rollback as run

    settings: Settings = context.obj
    with client_of(settings) as client:
        chosen = run(client, settings, model, reason)
    show({"model": model, "champion": chosen.version if chosen else 0}, json)
