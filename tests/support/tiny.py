"""Tiny use cases of any shape: a folder of SQL and a spec each, written into a copy of the project.

Rows come from numbers(), columns from SQL over `number`; nothing of the demo's is needed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.house import copy_project, parsed
from treehouse.clickhouse.client import identifier

SPLIT = (
    "multiIf(number % 10 < 4, 'train', number % 10 < 6, 'validation', "
    "number % 10 < 8, 'calibration', 'test')"
)
_ROW = "treehouse_row"


@dataclass(frozen=True)
class Tiny:
    """One use case.

    Attributes:
        name: Of the use case.
        features: Name, ClickHouse type and SQL over `number` of each.
        label: SQL over `number` and the features.
        spec: Arguments of Spec beside use_case, about and demo.
        heads: As YAML has them.
        also: Further columns of the training set: name and SQL, as the label's.
        rows: Of all splits together.
        key: Name of the key column.
    """

    name: str
    features: tuple[tuple[str, str, str], ...]
    label: str
    spec: str = ""
    heads: str = "[value, low, high, typical]"
    also: tuple[tuple[str, str], ...] = ()
    rows: int = 500
    key: str = "id"


def chance(seed: str) -> str:
    """SQL of a number from 0 to 1 that a row and a seed decide."""
    return f"((cityHash64(number, '{seed}') % 100003) / 100003.)"


def write(project: Path, case: Tiny) -> None:
    """The use case's folder of models and its spec."""
    folder = project / "models" / case.name
    folder.mkdir()
    columns = [_column(case.key, "UInt64", "key"), _column("day", "Date", "time")]
    columns += [_column(name, kind, "feature") for name, kind, _ in case.features]
    (folder / f"{case.name}.yml").write_text(
        f"""models:
  - name: {case.name}_features
    config:
      contract: {{enforced: true}}
      meta: {{use_case: {case.name}, heads: {case.heads}}}
    columns:
{"".join(columns)}
  - name: {case.name}_training_set
    columns:
      - {{name: label, config: {{meta: {{role: label}}}}}}
"""
    )
    named = "".join(
        f",\n    {_cast(_over(sql, _ROW), kind)} as {identifier(name)}"
        for name, kind, sql in case.features
    )
    (folder / f"{case.name}_features.sql").write_text(
        "{{ config(materialized='table', engine='MergeTree', order_by='tuple()') }}\n"
        f"select\n    {_ROW} as {identifier(case.key)},\n"
        f"    toDate('2026-01-01') + {_ROW} % 300 as day{named}\n"
        f"from (select number as {_ROW} from numbers({case.rows}))\n"
    )
    added = [("label", case.label), *case.also, ("split", SPLIT)]
    of_row = "".join(
        f",\n    {_over(sql, identifier(case.key))} as {identifier(n)}" for n, sql in added
    )
    (folder / f"{case.name}_training_set.sql").write_text(
        "{{ config(materialized='table', engine='MergeTree', order_by='tuple()') }}\n"
        f"select\n    *{of_row}\nfrom {{{{ ref('{case.name}_features') }}}}\n"
    )
    (folder / f"{case.name}_scores.sql").write_text(
        f"select {identifier(case.key)}, {{{{ predict_full('{case.name}') }}}} as prediction\n"
        f"from {{{{ ref('{case.name}_features') }}}}\n"
    )
    (project / "training" / "specs" / f"{case.name}.py").write_text(
        '"""A tiny use case of the tests."""\n\n'
        "from treehouse.spec import Also, Bagging, Boosting, Gates, Spec\n\n"
        f"SPEC = Spec(use_case={case.name!r}, about='Of the tests.', {case.spec})\n"
    )


def copy_with(folder: Path, cases: list[Tiny]) -> Path:
    """A copy of the project with these use cases besides."""
    project = copy_project(folder, "training", "udfs", "tests", "pyproject.toml")
    for case in cases:
        write(project, case)
    return project


def drive(project: Path, steps: dict[str, Any], timeout: int = 900) -> dict[str, Any]:
    """tests/support/drive.py in a process of its own in the copy; what it found."""
    own = {
        "PYTHONPATH": os.pathsep.join(map(str, (project, project / "training"))),
        "TREEHOUSE_HOME": str(project / "home"),
        "TREEHOUSE_TARGET": "embedded",
        "DBT_PARTIAL_PARSE_FILE_PATH": parsed("embedded"),
        "NO_COLOR": "1",
    }
    (project / "steps.json").write_text(json.dumps(steps))
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.drive", "steps.json", "found.json"],
        cwd=project,
        env=os.environ | own,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
    found: dict[str, Any] = json.loads((project / "found.json").read_text())
    return found


def _column(name: str, kind: str, role: str) -> str:
    text = f"name: {json.dumps(name, ensure_ascii=False)}, data_type: {json.dumps(kind)}"
    return f"      - {{{text}, quote: true, config: {{meta: {{role: {role}}}}}}}\n"


def _over(sql: str, column: str) -> str:
    """SQL over a column in place of `number`, which may be the name of a feature."""
    return re.sub(r"\bnumber\b", lambda _: column, sql)


def _cast(sql: str, kind: str) -> str:
    escaped = kind.replace("\\", "\\\\").replace("'", "\\'")
    return f"cast({sql}, '{escaped}')"
