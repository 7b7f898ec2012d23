"""Builds, trains, publishes and scores use cases of a project copy, all in one process.

`python -m tests.support.drive STEPS FOUND`: STEPS is JSON with `use_cases`; `force`, a reason to
publish past the gates, or ""; `monitor` and `report`, those to measure and to tell of; and
`queries` by name that are asked at the end. FOUND takes what came of them.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from treehouse.clickhouse.client import connect
from treehouse.clickhouse.dbt import build
from treehouse.fit import train as train_module
from treehouse.monitor.measure import effects, measure
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings
from treehouse.registry.promotions import promote
from treehouse.registry.publish import publish
from treehouse.report import write_page
from treehouse.spec import load_spec


def main(steps_path: str, found_path: str) -> None:
    """Every use case on its own: what fails in one is told, and the next one is tried."""
    steps = json.loads(Path(steps_path).read_text())
    settings = Settings.from_environment()
    names = steps["use_cases"]
    found: dict[str, Any] = {"use_cases": {}, "answers": {}}
    chosen = [word for name in names for word in ("--select", f"path:models/{name}")]
    try:
        build(settings, chosen)
    except TreehouseError as error:
        found["build"] = str(error)
    else:
        client = connect(settings)
        for name in names:
            force = steps.get("force", "a tiny model")
            found["use_cases"][name] = told(
                lambda name=name, force=force: bring(client, settings, name, force)
            )
        for name in steps.get("monitor", ()):
            spec = load_spec(name)
            found["answers"][f"monitor {name}"] = told(
                lambda spec=spec: [
                    *measure(client, settings, spec),
                    *(row["name"] for row in effects(client, settings, spec)),
                ]
            )
        for name in steps.get("report", ()):
            spec = load_spec(name)
            found["answers"][f"report {name}"] = told(
                lambda spec=spec: len(write_page(client, settings, spec).html)
            )
        for key, sql in steps.get("queries", {}).items():
            found["answers"][key] = told(lambda sql=sql: client.query(sql).result_rows)
    Path(found_path).write_text(json.dumps(found, default=str))


def told(action: Any) -> Any:
    """What an action answers; its error as {"error": type, "message": text}."""
    try:
        return action()
    except Exception as error:
        if not isinstance(error, TreehouseError):
            traceback.print_exc()
        return {"error": type(error).__name__, "message": str(error)}


def bring(client: Any, settings: Settings, name: str, force: str) -> dict[str, Any]:
    """The way of one use case to a promoted version."""
    chosen: list[Any] = []
    assemble = train_module._assemble

    def keep(spec: Any, data: Any, part: Any) -> Any:
        chosen[:] = [part.candidate]
        return assemble(spec, data, part)

    train_module._assemble = keep
    try:
        trained = train_module.train(client, settings, load_spec(name))
    finally:
        train_module._assemble = assemble
    version, parity = publish(client, settings, name, force=force)
    promote(client, settings, name, version.version)
    return {
        "version": version.version,
        "chosen": trained.metrics["chosen"],
        "different": parity.different,
        "categories": {n: len(known) for n, known in trained.bundle.inputs.categorical.items()},
        **beside_its_library(client, name, trained.metrics["chosen"], chosen[0].models),
    }


def beside_its_library(client: Any, name: str, chosen: str, models: Any) -> dict[str, Any]:
    """SQL's answers to every row beside the fitted model's own.

    Returns:
        `compared`: rows; 0 where the answer is made of two models', or of their parts. `off`: the
        largest difference of the value, of the probability before calibration, or the share of the
        rows whose most likely class is another.
    """
    spec = load_spec(name)
    if len(models) != 1 + len(spec.also) or chosen.endswith("two_part"):
        return {"compared": 0, "off": 0.0}
    rows = matrix_of(client, name)
    own = predicted(models[0], rows)
    heads = "prediction.raw" if spec.task == "probability" else "prediction.value"
    if spec.task == "probability" and "raw" not in spec.contract.heads:
        return {"compared": 0, "off": 0.0}
    found = np.array(
        [row[0] for row in client.query(
            f"select {heads} from treehouse.{name}_scores order by id"
        ).result_rows]
    )  # fmt: skip
    if spec.task == "classes":
        return {"compared": len(rows), "off": float(np.mean(found != own.argmax(axis=1)))}
    return {"compared": len(rows), "off": float(np.abs(found - own[:, -1]).max())}


def matrix_of(client: Any, name: str) -> Any:
    """float64[rows, features] in the order of the keys, made without the code under test:
    categories are numbered by the order of those of the training rows."""
    contract = load_spec(name).contract
    columns = []
    for feature in contract.features:
        values = [
            row[0]
            for row in client.query(
                f"select `{feature.name}` from treehouse.{name}_features order by id"
            ).result_rows
        ]
        if feature.kind == "categorical":
            known = [
                row[0]
                for row in client.query(
                    f"select distinct `{feature.name}` as c from treehouse.{name}_training_set "
                    "where split = 'train' and c != '' and c is not null order by c"
                ).result_rows
            ]
            values = [known.index(v) if v in known else np.nan for v in values]
        columns.append([np.nan if v is None else float(v) for v in values])
    return np.array(columns).T


def predicted(model: Any, rows: Any) -> Any:
    """float64[rows, outputs] by the model's own library."""
    import lightgbm as lgb
    import xgboost as xgb

    if isinstance(model, lgb.Booster):
        found = model.predict(rows)
    elif isinstance(model, xgb.Booster):
        data = xgb.DMatrix(rows, feature_types=model.feature_types, enable_categorical=True)
        found = model.predict(data)
    elif hasattr(model, "classes_"):
        found = model.predict_proba(rows)
    else:
        found = model.predict(rows)
    return np.asarray(found, np.float64).reshape(len(rows), -1)


if __name__ == "__main__":
    main(*sys.argv[1:])
