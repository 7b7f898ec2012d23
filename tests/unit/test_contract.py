"""The contract of a use case, from its YAML."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from treehouse.fit.checks import check_spec
from treehouse.project.contract import Contract, Feature, contracts, load_contract
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import project_vars
from treehouse.spec import load_spec, specs


def column(name: str, role: str | None = None, data_type: str = "Float64") -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "data_type": data_type}
    return found | ({"config": {"meta": {"role": role}}} if role else {})


def document(*left_out: str) -> dict[str, Any]:
    columns = [
        column("customer", "key", "String"),
        column("as_of", "time", "Date"),
        column("amount", "feature"),
        column("note", None, "String"),
        column("country", "feature", "LowCardinality(Nullable(String))"),
    ]
    labels = [column("future", "label")]
    for columns_of in (columns, labels):
        for entry in columns_of:
            if entry.get("config", {}).get("meta", {}).get("role") in left_out:
                del entry["config"]
    meta = {"use_case": "small", "heads": ["value", "low"]}
    return {
        "models": [
            {"name": "small_features", "config": {"meta": meta}, "columns": columns},
            {"name": "small_training_set", "columns": labels},
        ]
    }


def write(folder: Path, content: dict[str, Any], name: str = "small") -> Path:
    path = folder / "models" / name / f"{name}.yml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return folder / "models"


def test_parts(tmp_path: Path) -> None:
    found = load_contract("small", write(tmp_path, document()))
    assert found == Contract(
        use_case="small",
        features=(
            Feature("amount", "Float64"),
            Feature("country", "LowCardinality(Nullable(String))"),
        ),
        heads=("value", "low"),
        keys=("customer",),
        time="as_of",
        label="future",
    )
    assert found.of_kind("numeric") == ("amount",)
    assert found.of_kind("categorical") == ("country",)


def test_hash_is_of_names_kinds_order_and_heads(tmp_path: Path) -> None:
    found = load_contract("small", write(tmp_path, document()))
    assert found.text == "small(amount numeric, country categorical) -> (value, low)"
    assert found.hash == hashlib.md5(found.text.encode()).hexdigest()
    amount, country = found.features
    others = (
        (country, amount),
        (amount,),
        (amount, Feature("country", "Float64")),
        (amount, Feature("land", "String")),
    )
    hashes = {Contract("small", f, ("value", "low"), (), "", "").hash for f in others}
    hashes.add(Contract("small", found.features, ("low", "value"), (), "", "").hash)
    assert len(hashes - {found.hash}) == 5


def test_hash_does_not_depend_on_width_or_nullability() -> None:
    """A view that is built for Float32 is served by a model that was trained on Float64."""
    kinds = [
        Contract("c", (Feature("x", of),), ("value",), (), "", "").hash
        for of in ("Float64", "Nullable(UInt8)", "Decimal(18, 6)")
    ]
    assert len(set(kinds)) == 1


def test_sequences_are_kinds_of_their_own_and_bring_networks(tmp_path: Path) -> None:
    content = document()
    columns = content["models"][0]["columns"]
    plain = load_contract("small", write(tmp_path / "plain", content))
    assert not plain.has_networks
    content["models"][0]["config"]["meta"]["networks"] = True
    asked = load_contract("small", write(tmp_path / "asked", content))
    assert asked.text == f"{plain.text} with networks"
    del content["models"][0]["config"]["meta"]["networks"]
    columns += [
        column("recent", "feature", "Array(LowCardinality(Nullable(String)))"),
        column("gaps", "feature", "Array(Float32)"),
    ]
    found = load_contract("small", write(tmp_path / "sequences", content))
    assert found.has_networks
    assert found.text == (
        "small(amount numeric, country categorical, recent tokens, gaps series)"
        " -> (value, low) with networks"
    )
    assert (found.of_kind("tokens"), found.of_kind("series")) == (("recent",), ("gaps",))


def test_hashes_of_contracts_in_use_stay() -> None:
    """Views hold them: another hash would part them from their champions."""
    text = load_contract("purchase_value").text
    assert text.startswith("purchase_value(visits_1m numeric, ")
    assert text.endswith(") -> (value, low, high, typical)")


@pytest.mark.parametrize("role", ["feature", "key", "time", "label"])
def test_a_missing_part_is_named(tmp_path: Path, role: str) -> None:
    models = write(tmp_path, document(role))
    with pytest.raises(TreehouseError) as missing:
        load_contract("small", models)
    assert f"has no {role}" in str(missing.value)
    assert f"{{role: {role}}}" in str(missing.value)
    assert "models/small/small.yml" in str(missing.value)


def test_a_role_that_there_is_not_drops_no_column_silently(tmp_path: Path) -> None:
    content = document()
    content["models"][0]["columns"][2]["config"]["meta"]["role"] = "featur"
    with pytest.raises(TreehouseError, match="small_features has columns of a role") as unknown:
        load_contract("small", write(tmp_path, content))
    assert unknown.value.value == "amount: featur"


def test_heads_and_types_are_asked_for(tmp_path: Path) -> None:
    content = document()
    del content["models"][0]["columns"][2]["data_type"]
    with pytest.raises(TreehouseError, match="has no data_type for amount"):
        load_contract("small", write(tmp_path / "untyped", content))
    content = document()
    del content["models"][0]["config"]["meta"]["heads"]
    with pytest.raises(TreehouseError, match="has no heads"):
        load_contract("small", write(tmp_path / "headless", content))


def test_yaml_that_is_broken_is_named_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, document()) / "small" / "small.yml"
    path.write_text("models: [\n  - broken: {\n")
    with pytest.raises(TreehouseError, match="could not be read as YAML") as broken:
        contracts(tmp_path / "models")
    assert str(broken.value.value).startswith(f"{path}:2: ")


def test_meta_may_stand_at_either_place_that_dbt_takes(tmp_path: Path) -> None:
    content = document()
    for model in content["models"]:
        for entry in (model, *model["columns"]):
            entry |= entry.pop("config", {})
    found = load_contract("small", write(tmp_path / "direct", content))
    assert found == load_contract("small", write(tmp_path / "config", document()))


def test_no_training_set_is_no_label(tmp_path: Path) -> None:
    content = document()
    content["models"].pop()
    with pytest.raises(TreehouseError, match="has no label"):
        load_contract("small", write(tmp_path, content))


def test_a_model_without_a_use_case_is_not_one(tmp_path: Path) -> None:
    content = document()
    del content["models"][0]["config"]
    assert contracts(write(tmp_path, content)) == {}


def test_an_unknown_use_case_is_told_what_there_is() -> None:
    with pytest.raises(TreehouseError) as unknown:
        load_contract("purchase_valeu")
    assert "did you mean purchase_value?" in str(unknown.value)
    assert "ltv" in str(unknown.value)


def test_a_contract_without_a_spec_says_where_to_write_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("treehouse.spec.spec.specs", dict)
    with pytest.raises(TreehouseError, match=r"write training/specs/ltv\.py"):
        load_spec("ltv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SPEC = Spec(nown='x')", "py:2: TypeError"),
        ("SPEC = Spec(", "SyntaxError"),
        ("spec = 1", "AttributeError"),
        ("from training.spec import Spec", "the package is called treehouse now"),
        ("SPEC = Spec(use_case='other', about='')", "got:      other"),
    ],
)
def test_a_spec_that_is_broken_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    folder = tmp_path / "training" / "specs"
    folder.mkdir(parents=True)
    (folder / "broken.py").write_text(f"from treehouse.spec import Spec\n{text}\n")
    monkeypatch.setattr("treehouse.spec.spec.SPECS", folder)
    specs.cache_clear()
    try:
        with pytest.raises(TreehouseError) as broken:
            specs()
    finally:
        specs.cache_clear()
    assert message in str(broken.value)
    assert "training/specs/broken.py" in str(broken.value)


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"task": "probabilty"}, "`task`"),
        ({"known": "d7_revenu"}, "`known`"),
        ({"pace": "country"}, "`pace`"),
    ],
)
def test_a_spec_that_names_what_there_is_not_is_refused(changes: dict[str, Any], fix: str) -> None:
    check_spec(load_spec("ltv"))
    with pytest.raises(TreehouseError) as refused:
        check_spec(replace(load_spec("ltv"), **changes))
    assert refused.value.value in changes.values()
    assert fix in str(refused.value)


def test_a_var_that_is_not_there_is_named() -> None:
    with pytest.raises(TreehouseError, match="lacks a var") as missing:
        project_vars()["raw_databas"]
    assert "raw_database" in str(missing.value.expected)


def test_specs_are_found_without_a_list() -> None:
    assert list(specs()) == sorted(specs())
    for name, spec in specs().items():
        assert spec.use_case == name
        assert load_spec(name) is spec
