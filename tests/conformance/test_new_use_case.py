"""One more use case is one folder of SQL and one spec: a copy of the project gets one.

The copy goes the whole way in processes of its own, and the suite beside this file takes the new
use case up without being told.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.house import copy_project
from training.settings import ROOT

_NAME = "repeat_purchase"
_MODELS = {
    f"{_NAME}.yml": """
models:
  - name: repeat_purchase_features
    description: "Grain: one customer at the beginning of one month."
    config:
      contract: {enforced: true}
      meta: {use_case: repeat_purchase, heads: [value, low, high]}
    columns:
      - {name: customer_id, data_type: String, config: {meta: {role: key}}}
      - {name: as_of, data_type: Date, config: {meta: {role: time}}}
      - {name: visits, data_type: UInt64, config: {meta: {role: feature}}}
      - {name: spent, data_type: Float64, config: {meta: {role: feature}}}
      - {name: days_since_last, data_type: UInt32, config: {meta: {role: feature}}}
      - {name: habit, data_type: String, config: {meta: {role: feature}}}

  - name: repeat_purchase_training_set
    columns:
      - {name: buys_again, config: {meta: {role: label}}, data_tests: [not_null]}
""",
    f"{_NAME}_features.sql": """
{{ config(materialized='table', engine='MergeTree', order_by='(as_of, customer_id)') }}

with months as (
    select arrayJoin(arrayMap(
        n -> addMonths(toStartOfMonth(first_day), n),
        range(1, toUInt64(dateDiff('month', first_day, last_day) + 1))
    )) as as_of
    from (
        select min(purchase_day) as first_day, max(purchase_day) + 1 as last_day
        from {{ ref('stg_purchases') }}
        having count() > 0
    )
)

select
    customer_id,
    as_of,
    uniqExact(purchase_day) as visits,
    toFloat64(sum(amount_usd)) as spent,
    toUInt32(as_of - max(purchase_day)) as days_since_last,
    multiIf(visits = 1, 'once', visits < 4, 'some', 'many') as habit
from {{ ref('stg_purchases') }}
cross join months
where purchase_day < as_of and cityHash64(customer_id) % 4 = 0
group by customer_id, as_of
""",
    f"{_NAME}_training_set.sql": """
{{ config(materialized='table', engine='MergeTree', order_by='(as_of, customer_id)') }}

with features as (
    select * from {{ ref('repeat_purchase_features') }}
    where addMonths(as_of, 1) <= (select max(purchase_day) + 1 from {{ ref('stg_purchases') }})
),

buyers as (
    select distinct customer_id, toStartOfMonth(purchase_day) as as_of
    from {{ ref('stg_purchases') }}
)

select
    features.*,
    (features.customer_id, features.as_of) in (select customer_id, as_of from buyers) as buys_again,
    multiIf(
        as_of = (select max(as_of) from features), 'test',
        as_of < (select addMonths(max(as_of), -1) from features), 'train',
        cityHash64(customer_id, 1) % 2 = 0, 'validation',
        'calibration'
    ) as split
from features
""",
    f"{_NAME}_scores.sql": """
with scored as (
    select *, {{ predict_full('repeat_purchase') }} as prediction
    from {{ ref('repeat_purchase_features') }}
    where as_of = (select max(as_of) from {{ ref('repeat_purchase_features') }})
)

select
    customer_id,
    as_of,
    prediction.value as predicted_repeat,
    prediction.version as model_version
from scored
""",
    f"{_NAME}_decisions.sql": """
select customer_id, predicted_repeat > 0.5 as send_thanks
from {{ ref('repeat_purchase_scores') }}
where predicted_repeat is not null
""",
}
_SPEC = '''
"""Whether a customer buys again within the coming month."""

from training.demo_data import real_purchases
from training.spec import Boosting, Spec

SPEC = Spec(
    use_case="repeat_purchase",
    about="Whether a customer buys again within the coming month.",
    demo=real_purchases,
    label_floor=0.0,
    objectives=("squared_error", "two_part"),
    boosting=Boosting(trees=40, depth=4, leaves=15, rows_per_leaf=100),
    baselines={"habit": "avgIf(buys_again, split = 'train') over (partition by habit)"},
)
'''


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    """The project's own files, before anything is done."""
    return tracked_files()


@pytest.fixture(scope="module")
def project(before: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with one more folder of models and one more spec."""
    folder = copy_project(
        tmp_path_factory.mktemp("projects") / "more", "training", "udfs", "tests", "pyproject.toml"
    )
    copied = set(folder.rglob("*"))
    (folder / "models" / _NAME).mkdir()
    for name, text in _MODELS.items():
        (folder / "models" / _NAME / name).write_text(text.lstrip())
    (folder / "training" / "specs" / f"{_NAME}.py").write_text(_SPEC.lstrip())
    added = {path.relative_to(folder).parent for path in set(folder.rglob("*")) - copied}
    assert added == {Path("models"), Path("models") / _NAME, Path("training/specs")}
    assert before
    return folder


def run(project: Path, *arguments: str) -> str:
    """Python in the copy, with a home folder there; what it writes to stdout."""
    own = {"PYTHONPATH": str(project), "TREEHOUSE_HOME": str(project / "home")}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=os.environ | own | {"TREEHOUSE_TARGET": "embedded", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{' '.join(arguments)}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def tracked_files() -> dict[str, str]:
    """Name to hash of every file of the project that dbt or Python reads."""
    return {
        str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("models", "macros", "training/specs")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".sql", ".yml", ".py")
    }


def test_it_goes_the_whole_way(project: Path) -> None:
    """Loaded, built, trained, published, promoted; then a prediction from SQL."""
    told = run(project, "-m", "training", "demo", "--only", _NAME, "--json")
    model = json.loads(told)["models"][_NAME]
    assert model["version"] == 1
    assert model["parity"]["different"] == 0
    assert model["model"]["gini"] > model["baselines"]["habit"]["gini"]
    sql = (
        "select toUInt32(countIf(value > 0)) as some, toUInt32(count()) as rows,"
        " any(whole.version) as version from (select"
        " predict_repeat_purchase(visits, spent, days_since_last, habit) as value,"
        " predict_repeat_purchase_full(visits, spent, days_since_last, habit) as whole"
        " from treehouse.repeat_purchase_features)"
    )
    (answer,) = json.loads(run(project, "-m", "training", "sql", sql, "--format", "JSONEachRow"
                               ).join("[]"))  # fmt: skip
    assert answer["rows"] > 1000
    assert answer["some"] > answer["rows"] / 2
    assert answer["version"] == 1


def test_the_suite_finds_it(project: Path) -> None:
    """Each conformance test that runs for a use case runs for the new one, and passes."""
    listed = run(project, "-m", "pytest", "tests/conformance", "--collect-only", "-q")
    found = {line.split("::")[0] for line in listed.splitlines() if _NAME in line}
    assert {Path(name).stem for name in found} == {
        "test_empty_house", "test_leakage", "test_lifecycle", "test_splits",
    }  # fmt: skip
    run(
        project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", f"{_NAME} and not server",
        "tests/conformance/test_empty_house.py", "tests/conformance/test_leakage.py",
        "tests/conformance/test_lifecycle.py", "tests/conformance/test_splits.py",
    )  # fmt: skip


def test_nothing_of_the_original_was_edited(project: Path, before: dict[str, str]) -> None:
    """Nor does the copy differ from it in what it had before."""
    assert tracked_files() == before
    for name, digest in before.items():
        assert hashlib.sha256((project / name).read_bytes()).hexdigest() == digest, name
