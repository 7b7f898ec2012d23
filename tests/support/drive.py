"""Builds, trains, publishes and scores use cases of a project copy, all in one process.

`python -m tests.support.drive STEPS FOUND`: STEPS is JSON with `use_cases`, and `queries` by name
that are asked at the end; FOUND takes what came of them.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

from training.dbt import build
from training.engine import connect
from training.errors import TreehouseError
from training.fit.train import train
from training.monitor.measure import effects, measure
from training.publish import publish
from training.registry import promote
from training.settings import Settings
from training.spec import load_spec


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
            found["use_cases"][name] = told(lambda name=name: bring(client, settings, name))
        for name in steps.get("monitor", ()):
            spec = load_spec(name)
            found["answers"][f"monitor {name}"] = told(
                lambda spec=spec: [
                    *measure(client, settings, spec),
                    *effects(client, settings, spec),
                ]
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


def bring(client: Any, settings: Settings, name: str) -> dict[str, Any]:
    """The way of one use case to a promoted version."""
    trained = train(client, settings, load_spec(name))
    version, parity = publish(client, settings, name, force="a tiny model")
    promote(client, settings, name, version.version)
    return {
        "version": version.version,
        "metrics": trained.metrics,
        "path": str(trained.path),
        "different": parity.different,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
