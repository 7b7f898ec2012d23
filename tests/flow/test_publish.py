"""Publishing: all of a version is there and proven, or nothing of it answers."""

from __future__ import annotations

import hashlib

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.flow.conftest import House
from tests.support.small_bundle import MADE_UP, ROWS, USE_CASE, small_bundle
from tests.support.some import some
from treehouse.bundle import Bundle, bundle_id
from treehouse.bundle.renumber import with_version
from treehouse.clickhouse.state import ensure_registry
from treehouse.project.contract import load_contract
from treehouse.project.errors import TreehouseError
from treehouse.registry.promotions import versions
from treehouse.registry.publish import check_contract, place_file, publish, upload

HEADS = len(load_contract(USE_CASE).heads)


def test_a_version_is_a_row_a_file_and_golden_rows(house: House) -> None:
    version, parity = house.publish(2)
    assert (version.version, version.is_champion) == (1, False)
    assert version.metrics["model"] == {"mae": 1.0, "gini": 0.5, "deviance": 1.0}
    assert (parity.answers, parity.different, parity.worst) == (ROWS * HEADS, 0, 0.0)
    assert house.count("golden_rows", f"bundle = {version.bundle}") == ROWS
    data = house.model_file(version.bundle).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    assert (bundle_id(data), len(data)) == (version.bundle, version.bytes)
    assert digest.startswith(f"{version.bundle:016x}")
    assert Bundle.read_header(data)["version"] == 1
    assert house.query(
        "select bundle, sha256, lower(hex(SHA256(content))) from treehouse_registry.artifacts"
    ) == [(version.bundle, digest.encode(), digest)]
    assert house.query("select action, version, actor != '' from treehouse_registry.events") == [
        ("publish", 1, True)
    ]
    assert house.answer() is None, "published is not promoted"


def test_what_train_leaves_is_published_by_default(house: House) -> None:
    settings = house.engine.settings
    path = settings.home / "trained" / f"{USE_CASE}.bundle"
    path.unlink(missing_ok=True)  # other tests train in the same home
    with pytest.raises(TreehouseError, match="no trained bundle") as refused:
        publish(house.engine.client, settings, USE_CASE)
    assert refused.value.fix == f"./treehouse train {USE_CASE}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(small_bundle(3))
    version, _ = publish(house.engine.client, settings, USE_CASE, force=MADE_UP)
    path.unlink()
    assert version.version == 1


def test_publishing_again_is_another_version_in_another_file(house: House) -> None:
    first, _ = house.publish(2)
    again, _ = house.publish(2)
    assert (first.version, again.version) == (1, 2)
    assert first.bundle != again.bundle
    assert house.model_file(first.bundle).exists()
    assert house.model_file(again.bundle).exists()
    listed = versions(house.engine.client, house.engine.settings, USE_CASE)
    assert [v.version for v in listed] == [2, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"error": 0.001}, "differ from the trainer's"),
        ({"error": float("nan")}, "differ from the trainer's"),
        ({"contract": "0" * 32}, "does not fit the contract"),
        ({"model": "ltv"}, "of another use case"),
    ],
    ids=["an answer differs", "an answer is missing", "another contract", "another use case"],
)
def test_what_is_refused_leaves_the_champion_answering(
    house: House, changes: dict[str, str | float], message: str
) -> None:
    house.promoted(2)
    before = house.count("versions"), house.count("events")
    with pytest.raises(TreehouseError, match=message) as refused:
        house.publish(5, **changes)
    assert refused.value.value
    assert (house.count("versions"), house.count("events")) == before
    assert house.answer() == 20
    sound, _ = house.publish(5)
    assert sound.version == 2


def test_a_refused_contract_says_which_features_differ() -> None:
    header = Bundle.read_header(small_bundle(2, contract="0" * 32))
    gone = header["inputs"]["numeric"].pop(0)
    header["inputs"]["numeric"].append("shoe_size")
    with pytest.raises(TreehouseError) as refused:
        check_contract(USE_CASE, header)
    assert refused.value.value == f"only trained: shoe_size; only wanted: {gone}"
    assert f"./treehouse train {USE_CASE}" in str(refused.value)


def test_a_file_that_is_not_a_bundle_is_refused(house: House) -> None:
    path = house.folder / "x.bundle"
    path.write_bytes(small_bundle(2)[:-9])
    with pytest.raises(TreehouseError):
        publish(house.engine.client, house.engine.settings, USE_CASE, path)
    assert house.count("artifacts") == 0


def test_half_a_file_under_the_right_name_is_replaced(house: House) -> None:
    """Of a factor that no other test has: a scorer may hold the file that is cut off."""
    data = with_version(small_bundle(404), 1)
    file = house.model_file(bundle_id(data))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data[: len(data) // 2])
    house.promoted(404)
    assert file.read_bytes() == data
    assert house.answer() == 4040


def test_a_model_file_that_went_away_is_named_and_can_be_put_back(house: House) -> None:
    client, settings = house.engine.client, house.engine.settings
    data = with_version(small_bundle(6), 77)  # never asked for: no scorer holds it in memory
    upload(client, settings, data, Bundle.read_header(data)["info"]["golden"])
    bundle, file = bundle_id(data), house.model_file(bundle_id(data))
    file.unlink()
    question = (
        f"select treehouse_score({bundle}::UInt64, numeric, categorical) as found, answers "
        f"from treehouse_registry.golden_rows where bundle = {bundle}"
    )
    with pytest.raises(ClickHouseError, match=file.name):
        client.query(question)
    place_file(client, settings, bundle, hashlib.sha256(data).hexdigest())
    assert file.read_bytes() == data
    assert all(list(found) == [77.0, *answers] for found, answers in some(house.query(question)))


def test_the_registry_can_be_ensured_at_any_time(house: House) -> None:
    house.promoted(2)
    before = house.query("select * from treehouse_registry.versions")
    for _ in range(3):
        ensure_registry(house.engine.client, house.engine.settings)
    assert house.query("select * from treehouse_registry.versions") == before
    assert house.answer() == 20
