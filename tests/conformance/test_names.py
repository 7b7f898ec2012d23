"""Whatever a column is called: it works from the build to the monitor, or it is told with its file
before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.house import copy_project, run_dbt
from tests.support.tiny import Tiny, chance, copy_with, drive
from treehouse.clickhouse.client import identifier
from treehouse.project.contract import contracts
from treehouse.project.errors import TreehouseError
from treehouse.project.names import check_words
from treehouse.project.settings import Settings

pytestmark = pytest.mark.slow

_OURS = (
    "version", "k", "unit", "experiment", "tier", "answer", "answers", "part", "p", "v", "i", "x",
    "prediction", "value", "low", "weight", "row", "rows", "number", "name", "role", "kind", "key",
    "cell", "c0", "c1", "c2", "monitored_1", "age", "newest", "known_at", "told", "actual",
    "row_key", "row_weight", "predicted", "is_now", "parts", "t", "truth", "step", "tenth",
    "_label", "_time", "_weight", "_model", "_rule_0", "_scale",
)  # fmt: skip
_THEIRS = (
    "select", "from", "null", "true", "as", "1", "*", "sum", "count()", "a", "A", "a b", " x",
    "it's", "größe", "😀", "a.b", "a,b", "x:y", "-- x", "/* x", "%", "%(x)s", "{x:String}", "{}",
    "a;b", "#", "?", "$$", "[a]", "a<b", "f'", "0x", "N/A", "label ", "Label",
)  # fmt: skip
NAMES = (*_OURS, *_THEIRS)
_REFUSED = (
    "", 'a"b', "a`b", "a\\b", "a\nb", "{{ a }}", "{% a %}", "treehouse_version", "split", "day",
    "label",
)  # fmt: skip


def named(names: tuple[str, ...]) -> Tiny:
    """A use case whose label the first two features make, the second three times as much."""
    features = tuple((name, "Float64", chance(f"n{i}")) for i, name in enumerate(names))
    first, second = map(identifier, names[:2])
    return Tiny(
        "named",
        (*features, ("kind of", "String", "toString(number % 3)")),
        f"{first} + 3 * {second} + 1",
        "objectives=('squared_error',), boosting=Boosting(trees=40, depth=4, rows_per_leaf=10), "
        "baselines={'mean': \"avgIf(label, split = 'train') over ()\"}",
    )


def test_any_name_works(tmp_path: Path) -> None:
    """Built, trained, published, asked by every function, monitored, and reported."""
    project = copy_with(tmp_path / "names", [named(NAMES)])
    arguments = ", ".join(map(identifier, (*NAMES, "kind of")))
    table = "treehouse.named_features"
    found = drive(
        project,
        {
            "use_cases": ["named"],
            "monitor": ["named"],
            "report": ["named"],
            "queries": {
                "answers": "select corr(predict_named("
                f"{arguments}), version + 3 * k), countIf(predict_named_at(1, {arguments}) = "
                f"predict_named({arguments})) from {table}",
                "top": f"select explain_named_top(1, {arguments})[1].feature as top, count() "
                f"from {table} group by top order by count() desc limit 1",
                "scores": "select countIf(prediction.version = 1) from treehouse.named_scores",
                "drift": "select countIf(role = 'feature'), countIf(rows = 500) "
                "from treehouse_registry.drift where model = 'named'",
            },
        },
    )
    assert "build" not in found, found["build"]
    assert found["use_cases"]["named"].get("version") == 1, found["use_cases"]
    answers = found["answers"]
    assert answers["answers"][0][0] > 0.95
    assert answers["answers"][0][1] == 500
    assert answers["top"][0][0] == "k"
    assert answers["scores"] == [[500]]
    assert answers["drift"][0][0] == len(NAMES) + 1, answers["drift"]
    assert answers["report named"] > 10_000, answers["report named"]


def folder_with(tmp_path: Path, name: object, heads: object = ("value",)) -> Path:
    """A folder of models whose only use case has a feature of that name, or such heads."""
    entry = {"data_type": "Float64", "config": {"meta": {"role": "feature"}}}
    columns = [
        {"name": "id", "config": {"meta": {"role": "key"}}},
        {"name": "day", "config": {"meta": {"role": "time"}}},
        {"name": name, **entry},
    ]
    content = {
        "models": [
            {
                "name": "odd_features",
                "config": {"meta": {"use_case": "odd", "heads": heads}},
                "columns": columns,
            },
            {
                "name": "odd_training_set",
                "columns": [{"name": "label", "config": {"meta": {"role": "label"}}}],
            },
        ]
    }
    (tmp_path / "odd").mkdir(parents=True, exist_ok=True)
    (tmp_path / "odd" / "odd.yml").write_text(yaml.safe_dump(content, allow_unicode=True))
    return tmp_path


@pytest.mark.parametrize("name", _REFUSED, ids=repr)
def test_other_names_are_told_with_their_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(TreehouseError) as told:
        contracts(folder_with(tmp_path, name))
    assert "models/odd/odd.yml" in str(told.value)
    assert str(told.value.value).strip("'\"").encode().decode("unicode_escape") or not name


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_names_that_work_are_taken(tmp_path: Path, name: str) -> None:
    found = contracts(folder_with(tmp_path, name))
    assert found["odd"].features[0].name == name


@pytest.mark.parametrize(
    ("heads", "shown"),
    [
        ("[value, no, yes]", "False (bool)"),
        ("[value, 0, 1, 2]", "0 (int)"),
        ("[value, 1.5]", "1.5 (float)"),
        ("[value, null]", "None (NoneType)"),
        ("[value, 2026-01-01]", "datetime.date(2026, 1, 1) (date)"),
        ("[value, version]", "version"),
        ("[value, a, a]", "a"),
        ('[value, "null"]', "null"),
    ],
)
def test_heads_that_yaml_reads_otherwise(tmp_path: Path, heads: str, shown: str) -> None:
    """The message says what YAML made of it, where it stands, and how to write it."""
    folder = folder_with(tmp_path, "a", "HEADS")
    path = folder / "odd" / "odd.yml"
    path.write_text(path.read_text().replace("HEADS", heads))
    with pytest.raises(TreehouseError) as told:
        contracts(folder)
    assert told.value.value == shown
    assert "models/odd/odd.yml" in (told.value.fix or "")


def test_quoted_heads_are_names(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a", "HEADS")
    path = folder / "odd" / "odd.yml"
    path.write_text(path.read_text().replace("HEADS", '[value, "no", "yes", "0", "it\'s"]'))
    assert contracts(folder)["odd"].heads == ("value", "no", "yes", "0", "it's")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("intent_events: [click, no]", "vars.intent_events"),
        ("intent_events: [click, 1]", "vars.intent_events"),
        ("storage_tiers: [{name: off}]", "vars.storage_tiers.name"),
        ("experiment_metrics: {on: {relation: a}}", "vars.experiment_metrics"),
        ("result_cache: {tables: {a.b: 1, 2: 3}}", "vars.result_cache.tables"),
    ],
)
def test_vars_that_yaml_reads_otherwise(text: str, place: str) -> None:
    with pytest.raises(TreehouseError, match="in quotes") as told:
        check_words(yaml.safe_load(text), "vars", "dbt_project.yml")
    assert place in told.value.what


def test_vars_that_are_no_names() -> None:
    given = yaml.safe_load("{days: 7, alphas: [0.1, 0.05], is_on: true, none: null, a: [x, y]}")
    check_words(given, "vars", "dbt_project.yml")


@pytest.mark.embedded
def test_plain_dbt_stops_before_it_builds(settings: Settings, tmp_path: Path) -> None:
    """Names first, then what the heads are: nothing is built, and the file is told."""
    project = copy_project(tmp_path / "plain")
    for name, heads, shown in (
        ("treehouse_k", "[value]", "treehouse_k"),
        ("a", "[value, no, yes]", "head is False"),
    ):
        folder = folder_with(project / "models", name, "HEADS")
        path = folder / "odd" / "odd.yml"
        path.write_text(path.read_text().replace("HEADS", heads))
        for part in ("features", "training_set"):
            (folder / "odd" / f"odd_{part}.sql").write_text("select 1 as id")
        done = run_dbt(settings, "build", "--select", "stg_purchases", project=project)
        messages = f"{done.exception} {[result.message for result in done.result or ()]}"
        assert not done.success
        assert "models/odd/odd.yml" in messages
        assert shown in messages
