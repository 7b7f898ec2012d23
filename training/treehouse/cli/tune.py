"""Search for better parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from treehouse.cli.shared import JsonFlag, Model, client_of, example
from treehouse.project import console
from treehouse.project.settings import Settings

if TYPE_CHECKING:
    from treehouse.tune.search import Study

app = typer.Typer()
_SHOWN = 5


@app.command(rich_help_panel="Models", epilog=example("tune ltv --trials 50 --timeout 600"))
def tune(
    context: typer.Context,
    model: Model,
    trials: Annotated[
        int, typer.Option(min=1, help="Of the whole study: called again, it goes on.")
    ] = 50,
    timeout: Annotated[
        float | None, typer.Option(min=1, help="Seconds for the search; none by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed is another study.")] = 1,
    json: JsonFlag = False,
) -> None:
    """Search trainers, objectives and parameters on folds that respect time.

    The spec's own parameters are tried first. The winner is what `train --tuned` fits; its gain is
    measured on the test rows, which no trial has seen.
    """
    from treehouse.spec import load_spec

    spec = load_spec(model)
    settings: Settings = context.obj
    from treehouse.fit.dataset import load_dataset  # takes a while
    from treehouse.tune.gain import gain
    from treehouse.tune.search import search
    from treehouse.tune.space import with_parameters

    with client_of(settings) as client:
        data = load_dataset(client, settings, spec)
        with console.step(f"tune {model}", json) as report:
            study = search(
                client, settings, spec, data,
                trials=trials, timeout=timeout, seed=seed, report=report,
            )  # fmt: skip
        with console.step("measure the gain", json):
            gained = gain(spec, with_parameters(spec, study.best.parameters), data)
    if json:
        console.show_json(_as_json(study) | {"model": model, "gain": gained})
        return
    _show(model, study, gained)


def _as_json(study: Study) -> dict[str, Any]:
    counts = {"trials": len(study.trials), "new_trials": study.new}
    return {"study": study.name, **counts} | {
        name: {"trial": trial.number, "loss": trial.loss, "parameters": dict(trial.parameters)}
        for name, trial in (("best", study.best), ("default", study.default))
    }


def _show(model: str, study: Study, gained: dict[str, dict[str, float]]) -> None:
    states = [trial.state for trial in study.trials]
    counted = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
    complete = [(trial.loss, trial) for trial in study.trials if trial.loss is not None]
    best = sorted(complete, key=lambda pair: pair[0])[:_SHOWN]
    console.show_table(
        ("trial", "loss", "seconds", "default", "parameters"),
        [
            (
                trial.number, loss, trial.seconds, "yes" if trial.is_default else "",
                ", ".join(f"{k.split('.')[-1]} {console.cell(v)}"
                          for k, v in trial.parameters.items()),
            )
            for loss, trial in best
        ],
        title=f"Study {study.name}: {study.new} new trials; of all {len(states)}: {counted}",
    )  # fmt: skip
    console.show_table(
        ("on the test rows", "default", "tuned", "gain", "from", "to (95 %)"),
        [(name, *row.values()) for name, row in gained.items()],
    )
    if study.best.is_default:
        console.out.print("Nothing gains more than luck over the spec's own parameters: they stay.")
    console.out.print(f"Next: ./treehouse train {model} --tuned --publish")
