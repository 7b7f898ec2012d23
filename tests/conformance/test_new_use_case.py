"""One more use case is a folder of SQL, a spec and a definition: a copy of the project gets two.

One answers a probability; the other decides among classes by their cost, and answers a value
besides. The copy goes the whole way in processes of its own, and the suite beside this file takes
the new use cases up without being told.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.house import copy_project, parsed
from treehouse.project.settings import ROOT

pytestmark = pytest.mark.slow

_REPEAT = {
    "repeat_purchase.yml": """
models:
  - name: repeat_purchase_features
    description: "Grain: one customer at the beginning of one month."
    config:
      contract: {enforced: true}
      meta: {use_case: repeat_purchase, heads: [value, score, raw]}
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
    "repeat_purchase_features.sql": """
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
where purchase_day < as_of and toUInt32OrZero(extract(customer_id, '[0-9]+')) % 4 = 0
group by customer_id, as_of
""",
    "repeat_purchase_training_set.sql": """
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
    "repeat_purchase_scores.sql": """
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
    "repeat_purchase_decisions.sql": """
select customer_id, predicted_repeat > 0.5 as send_thanks
from {{ ref('repeat_purchase_scores') }}
where predicted_repeat is not null
""",
}
_REPEAT_SPEC = '''
"""Whether a customer buys again within the coming month."""

from treehouse.spec import Bagging, Boosting, Spec

SPEC = Spec(
    use_case="repeat_purchase",
    about="Whether a customer buys again within the coming month.",
    demo="real_purchases",
    task="probability",
    trainers=("xgboost", "random_forest"),
    boosting=Boosting(trees=40, depth=4, leaves=15, rows_per_leaf=100),
    bagging=Bagging(trees=20, depth=6, rows_per_leaf=100),
    baselines={"habit": "avgIf(buys_again, split = 'train') over (partition by habit)"},
)
'''
_TIER = {
    "spend_tier.yml": """
models:
  - name: spend_tier_features
    description: "Grain: one customer at the beginning of one month."
    config:
      contract: {enforced: true}
      meta: {use_case: spend_tier, heads: [value, nothing, little, much, amount]}
    columns:
      - {name: customer_id, data_type: String, config: {meta: {role: key}}}
      - {name: as_of, data_type: Date, config: {meta: {role: time}}}
      - {name: visits, data_type: UInt64, config: {meta: {role: feature}}}
      - {name: days_since_last, data_type: UInt32, config: {meta: {role: feature}}}
      - {name: habit, data_type: String, config: {meta: {role: feature}}}

  - name: spend_tier_training_set
    columns:
      - {name: tier, config: {meta: {role: label}}, data_tests: [not_null]}
      - {name: importance, config: {meta: {role: weight}}}
      - {name: known_at, config: {meta: {role: known_at}}}
""",
    "spend_tier_features.sql": """
{{ config(materialized='table', engine='MergeTree', order_by='(as_of, customer_id)') }}

select customer_id, as_of, visits, days_since_last, habit
from {{ ref('repeat_purchase_features') }}
""",
    "spend_tier_training_set.sql": """
{{ config(materialized='table', engine='MergeTree', order_by='(as_of, customer_id)') }}

with amounts as (
    select
        customer_id,
        toStartOfMonth(purchase_day) as as_of,
        toFloat64(sum(amount_usd)) as spent
    from {{ ref('stg_purchases') }}
    group by customer_id, as_of
)

select
    features.customer_id as customer_id,
    features.as_of as as_of,
    features.visits as visits,
    features.days_since_last as days_since_last,
    features.habit as habit,
    training.split as split,
    addMonths(features.as_of, 1) as known_at,
    multiIf(amounts.spent = 0, 'nothing', amounts.spent < 30, 'little', 'much') as tier,
    nullIf(amounts.spent, 0) as amount,
    1 + amounts.spent / 1000 as importance
from {{ ref('spend_tier_features') }} as features
inner join {{ ref('repeat_purchase_training_set') }} as training
    on features.customer_id = training.customer_id and features.as_of = training.as_of
left join amounts
    on features.customer_id = amounts.customer_id and features.as_of = amounts.as_of
""",
    "spend_tier_scores.sql": """
with scored as (
    select *, {{ predict_full('spend_tier') }} as prediction
    from {{ ref('spend_tier_features') }}
    where as_of = (select max(as_of) from {{ ref('spend_tier_features') }})
)

select
    customer_id,
    as_of,
    prediction.value as predicted_tier,
    prediction.amount as predicted_amount_usd,
    prediction.version as model_version
from scored
""",
    "spend_tier_decisions.sql": """
select customer_id, {{ predicted_class('spend_tier', 'predicted_tier') }} as tier
from {{ ref('spend_tier_scores') }}
where predicted_tier is not null
""",
}
_TIER_SPEC = '''
"""How much a customer spends within the coming month: nothing, little or much."""

from treehouse.spec import Also, Bagging, Boosting, Spec

SPEC = Spec(
    use_case="spend_tier",
    about="How much a customer spends within the coming month.",
    demo="real_purchases",
    task="classes",
    cost=((0, 1, 1), (5, 0, 1), (20, 5, 0)),
    trainers=("lightgbm", "extra_trees"),
    boosting=Boosting(trees=20, depth=4, leaves=15, rows_per_leaf=100),
    bagging=Bagging(trees=15, depth=6, rows_per_leaf=100),
    also={"amount": Also(objectives=("tweedie",), trainers=("xgboost",))},
    baselines={"habit": "if(habit = 'many' and days_since_last < 40, 'much', 'nothing')"},
)
'''
_USE_CASES = {"repeat_purchase": (_REPEAT, _REPEAT_SPEC), "spend_tier": (_TIER, _TIER_SPEC)}


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    """The project's own files, before anything is done."""
    return tracked_files()


@pytest.fixture(scope="module")
def project(before: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with two more folders of models, two more specs and definitions."""
    folder = copy_project(
        tmp_path_factory.mktemp("projects") / "more", "training", "udfs", "tests", "pyproject.toml"
    )
    copied = set(folder.rglob("*"))
    for use_case, (models, spec) in _USE_CASES.items():
        (folder / "models" / use_case).mkdir()
        for name, text in models.items():
            (folder / "models" / use_case / name).write_text(text.lstrip())
        (folder / "training" / "specs" / f"{use_case}.py").write_text(spec.lstrip())
        definition = ROOT / "tests" / "support" / "more_definitions" / f"{use_case}.py"
        shutil.copy(definition, folder / "tests" / "definitions")
    added = {path.relative_to(folder).parent for path in set(folder.rglob("*")) - copied}
    folders = {Path("models") / use_case for use_case in _USE_CASES}
    assert added == {Path("models"), *folders, Path("training/specs"), Path("tests/definitions")}
    assert before
    return folder


def run(project: Path, *arguments: str) -> str:
    """Python in the copy, with a home folder there; what it writes to stdout."""
    own = {
        "PYTHONPATH": os.pathsep.join(map(str, (project, project / "training"))),
        "TREEHOUSE_HOME": str(project / "home"),
        "DBT_PARTIAL_PARSE_FILE_PATH": parsed("embedded"),
    }
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
    """Loaded, built, trained, published, promoted; then predictions from SQL."""
    chosen = [word for name in _USE_CASES for word in ("--only", name)]
    models = json.loads(run(project, "-m", "treehouse", "demo", *chosen, "--json"))["models"]
    for model in models.values():
        assert model["version"] == 1
        assert model["parity"]["different"] == 0
    repeat, tier = models["repeat_purchase"], models["spend_tier"]
    assert repeat["model"]["auc"] > repeat["baselines"]["habit"]["auc"]
    assert repeat["model"]["log_loss"] <= repeat["uncalibrated"]["log_loss"] + 0.002
    assert repeat["model"]["calibration_error"] < 0.02
    assert tier["model"]["cost"] < tier["baselines"]["habit"]["cost"]
    assert tier["also"]["amount"]["rows"] < tier["rows"]
    features = "visits, days_since_last, habit"
    sql = (
        f"select toUInt32(count()) as rows, toUInt32(countIf(p.value between 0 and 1)) as shares,"
        " toUInt32(countIf(p.score = 100 * p.value)) as scores, any(p.version) as version,"
        " toUInt32(countIf(abs(t.nothing + t.little + t.much - 1) < 1e-9)) as wholes,"
        " toUInt32(countIf(t.amount > 0)) as amounts, arraySort(groupUniqArray(t.value)) as tiers"
        " from (select predict_repeat_purchase_full(visits, spent, days_since_last, habit) as p,"
        f" predict_spend_tier_full({features}) as t from treehouse.repeat_purchase_features)"
    )
    told = run(project, "-m", "treehouse", "sql", sql, "--format", "JSONEachRow")
    (answer,) = json.loads(told.join("[]"))
    assert answer["rows"] > 1000
    for part in ("shares", "scores", "wholes", "amounts"):
        assert answer[part] == answer["rows"], part
    assert answer["version"] == 1
    assert set(answer["tiers"]) <= {0, 1, 2}
    assert len(answer["tiers"]) > 1


def test_the_suite_finds_them(project: Path, request: pytest.FixtureRequest) -> None:
    """Each conformance test that runs for a use case runs for the new ones, and passes.

    With --exhaustive all of them, and for both; storage_tiering decides among classes by their
    cost, too.
    """
    whole = bool(request.config.getoption("--exhaustive"))
    also = " or spend_tier and (lifecycle or house)" if whole else " and (definitions or lifecycle)"
    everything = ("-m", "pytest", "-q", "--exhaustive")
    listed = run(project, *everything, "tests/conformance", "--collect-only")
    for name in _USE_CASES:
        found = {line.split("::")[0] for line in listed.splitlines() if name in line}
        assert {Path(path).stem for path in found} == {
            "test_definitions", "test_empty_house", "test_fit_by_change", "test_leakage",
            "test_lifecycle", "test_splits",
        }  # fmt: skip
    run(
        project, *everything, "-p", "no:cacheprovider",
        "-k", f"(repeat_purchase{also}) and not server",
        "tests/conformance/test_definitions.py", "tests/conformance/test_empty_house.py",
        "tests/conformance/test_leakage.py", "tests/conformance/test_lifecycle.py",
        "tests/conformance/test_splits.py",
    )  # fmt: skip


def test_nothing_of_the_original_was_edited(project: Path, before: dict[str, str]) -> None:
    """Nor does the copy differ from it in what it had before."""
    assert tracked_files() == before
    for name, digest in before.items():
        assert hashlib.sha256((project / name).read_bytes()).hexdigest() == digest, name
