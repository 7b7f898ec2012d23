"""What goes wrong with a registry: a clear error, and what was there answers on."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.conftest import RunningServer
from tests.flow.conftest import ARGUMENTS, ON_EMBEDDED, ON_SERVER, House
from tests.support.small_bundle import USE_CASE, write_bundle
from treehouse.bundle import Bundle, bundle_id
from treehouse.bundle.renumber import with_version
from treehouse.cli.status import read_status
from treehouse.clickhouse.client import connect
from treehouse.clickhouse.state import ensure_registry
from treehouse.project.errors import TreehouseError
from treehouse.registry import publish as publishing
from treehouse.registry.artifacts import upload
from treehouse.registry.promotions import (
    Version,
    promote,
    retire,
    rollback,
    versions,
)
from treehouse.registry.sync import sync

pytestmark = pytest.mark.slow

STATE = ("versions", "events", "statistics")


@pytest.fixture
def unchanged(house: House) -> Iterator[House]:
    """Version 1 answers; whatever the test tries, it still does, and the registry's rows stay."""
    house.promoted(2)
    before = [house.count(table) for table in STATE]
    yield house
    assert [house.count(table) for table in STATE] == before
    assert house.answer() == 20
    assert champion(house) == 1


def champion(house: House) -> int:
    """Who answers, as `status` says."""
    status = read_status(house.engine.client, house.engine.settings)
    return int(next(m["champion"] for m in status["models"] if m["model"] == USE_CASE) or 0)


def at_once(house: House, *works: Callable[[House], object]) -> None:
    """Each in a thread with a client of its own; what one raises, fails the test."""
    failures: list[Exception] = []

    def run(work: Callable[[House], object]) -> None:
        client = connect(house.engine.settings)
        try:
            work(replace(house, engine=replace(house.engine, client=client)))
        except Exception as error:
            failures.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


@ON_EMBEDDED
def test_a_half_published_version_is_not_promoted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.promoted(2)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "record", stopped)
        with pytest.raises(KeyboardInterrupt):
            house.publish(3)
    with pytest.raises(TreehouseError, match="never published to the end") as refused:
        promote(house.engine.client, house.engine.settings, USE_CASE, 2)
    assert refused.value.fix == f"./treehouse publish {USE_CASE}"
    assert (house.answer(), champion(house)) == (20, 1)
    listed = versions(house.engine.client, house.engine.settings)
    assert [(v.version, v.state) for v in listed] == [(2, "incomplete"), (1, "published")]
    assert house.publish(3)[0].version == 3


def test_publishers_at_once_take_a_number_each(house: House) -> None:
    at_once(house, *(lambda h, f=factor: h.publish(f) for factor in (2, 3, 4, 5)))
    found = house.query("select version, count() from treehouse_registry.versions group by all")
    assert sorted(found) == [(1, 1), (2, 1), (3, 1), (4, 1)]
    calls = ", ".join(f"predict_{USE_CASE}_at({v}, {ARGUMENTS})" for v in (1, 2, 3, 4))
    asked = house.query(f"select {calls} from treehouse.flow_rows limit 1")[0]
    assert sorted(asked) == [20, 30, 40, 50]


def test_two_promotions_at_once_leave_one_champion(house: House) -> None:
    for factor in (2, 3):
        house.publish(factor)

    def chosen(number: int) -> Callable[[House], Version]:
        return lambda h: promote(h.engine.client, h.engine.settings, USE_CASE, number)

    for _ in range(3):
        at_once(house, chosen(1), chosen(2))
        last = house.query(
            "select version from treehouse_registry.events where action = 'promote' "
            "order by at desc, bundle desc limit 1"
        )[0][0]
        assert champion(house) == last
        assert house.answer() == {1: 20, 2: 30}[last]


@ON_EMBEDDED
def test_two_rollbacks_at_once_agree(house: House) -> None:
    for factor in (2, 3, 4):
        house.promoted(factor)

    def back(h: House) -> object:
        return rollback(h.engine.client, h.engine.settings, USE_CASE)

    at_once(house, back, back)
    left = champion(house)
    assert left in (1, 2), "the second saw the first one's row, or it did not"
    assert house.answer() == {1: 20, 2: 30}[left]
    back(house)
    assert champion(house) == left - 1


@ON_EMBEDDED
def test_a_clock_that_was_ahead_decides_nothing(house: House) -> None:
    client, settings = house.engine.client, house.engine.settings
    house.promoted(2)
    client.command(
        "insert into treehouse_registry.events "
        "select * replace(toDateTime64('2099-01-01', 6, 'UTC') as at) "
        "from treehouse_registry.events where action = 'promote'"
    )
    house.promoted(3)
    assert (house.answer(), champion(house)) == (30, 2)
    rollback(client, settings, USE_CASE)
    assert (house.answer(), champion(house)) == (20, 1)
    late = "select count() from treehouse_registry.events where at > '2099-01-01'"
    assert house.query(late) == [(3,)]  # publish, promote, rollback: each after the one before


def _set_aside(file: Path) -> set[Path]:
    return set(file.parent.glob(f"{file.name}.*.bad"))


def test_a_corrupt_or_missing_file_is_mended(house: House) -> None:
    client, settings = house.engine.client, house.engine.settings
    sound = [house.promoted(factor) for factor in (2, 3, 4)]
    files = [house.model_file(v.bundle) for v in sound]
    right = [file.read_bytes() for file in files]
    before = _set_aside(files[0])  # of other tests
    files[0].write_bytes(right[0][:-1] + b"?")
    files[1].unlink()
    found = {item.version: item.found for item in sync(client, settings)}
    assert found == {1: "repaired", 2: "restored", 3: "sound"}
    assert [file.read_bytes() for file in files] == right
    assert {item.found for item in sync(client, settings)} == {"sound"}
    (aside,) = _set_aside(files[0]) - before
    assert aside.read_bytes() == right[0][:-1] + b"?"
    aside.unlink()
    files[0].unlink()
    promote(client, settings, USE_CASE, 1)
    assert (files[0].read_bytes(), house.answer()) == (right[0], 20)


@ON_EMBEDDED
@pytest.mark.parametrize("is_there", [True, False], ids=["corrupt", "missing"])
def test_a_lost_artifact_is_not_promoted(unchanged: House, is_there: bool) -> None:
    client, settings = unchanged.engine.client, unchanged.engine.settings
    lost, _ = unchanged.publish(3)
    try:
        change = "update content = 'x'" if is_there else "delete"
        client.command(
            f"alter table treehouse_registry.artifacts {change} where bundle = {lost.bundle} "
            "settings mutations_sync = 1"
        )
        unchanged.model_file(lost.bundle).unlink()
        with pytest.raises(TreehouseError, match="copy of a model file is") as refused:
            promote(client, settings, USE_CASE, lost.version)
        assert ("corrupt" in refused.value.what) is is_there
        assert f"{lost.bundle:016x}" in str(refused.value.value)
        found = {item.version: (item.found, item.problem) for item in sync(client, settings)}
        assert found[1] == ("sound", "")
        assert found[2][0] == "lost"
        assert refused.value.what in found[2][1]
    finally:
        for table in ("versions", "events"):
            client.command(
                f"alter table treehouse_registry.{table} delete where version = 2 "
                "settings mutations_sync = 1"
            )


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process, the engine's among them, grows beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@ON_EMBEDDED
@pytest.mark.parametrize("where", ["registry", "model file"])
def test_a_full_disk_stops_a_publish(unchanged: House, where: str) -> None:
    size = 2**20
    path = write_bundle(unchanged.folder, 3.0, padding="0" * size)
    if where == "model file":  # the registry has the model already, its file went away
        data = with_version(path.read_bytes(), 2)
        golden = Bundle.read_header(data)["info"]["golden"]
        upload(unchanged.engine.client, unchanged.engine.settings, data, golden)
        unchanged.model_file(bundle_id(data)).unlink()
    before = set(unchanged.model_file(0).parent.iterdir())
    with (
        files_of_at_most(size),
        pytest.raises(TreehouseError, match="could not store a model file") as refused,
    ):
        unchanged.publish_file(path)
    if where == "registry":
        assert "File too large" in str(refused.value.value)
    assert "room on its disk" in str(refused.value.expected)
    left = set(unchanged.model_file(0).parent.iterdir()) - before
    assert [file.stat().st_size for file in left] == ([] if where == "registry" else [0])


@ON_EMBEDDED
def test_without_a_registry_one_is_asked_for(house: House) -> None:
    client = house.engine.client
    elsewhere = replace(house.engine.settings, registry_database="treehouse_elsewhere")
    with pytest.raises(TreehouseError, match="There is no registry yet") as refused:
        versions(client, elsewhere)
    assert "./treehouse build" in str(refused.value.fix)
    status = read_status(client, elsewhere)
    assert status["notice"].startswith("There is no registry yet")
    assert {m["champion"] for m in status["models"]} == {None}
    assert house.query("exists database treehouse_elsewhere") == [(0,)], "nothing made it"


@ON_SERVER
def test_a_reader_can_look(house: House) -> None:
    """With `readonly`, where the engine takes no change at all."""
    house.promoted(2)
    reader, settings = connect(house.engine.settings), house.engine.settings
    reader.set_client_setting("readonly", 2)
    with pytest.raises(ClickHouseError, match="readonly"):
        ensure_registry(reader, settings)
    assert [v.version for v in versions(reader, settings)] == [1]
    models = read_status(reader, settings)["models"]
    assert [m["champion"] for m in models if m["model"] == USE_CASE] == [1]
    reader.close()


@pytest.mark.server
def test_the_server_is_gone(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_URL", "http://127.0.0.1:1")
    with pytest.raises(TreehouseError, match="No ClickHouse answers at"):
        connect(server.settings)


@ON_EMBEDDED
def test_what_answers_is_not_retired(unchanged: House) -> None:
    client, settings = unchanged.engine.client, unchanged.engine.settings
    with pytest.raises(TreehouseError, match="Version 1 of purchase_value answers now"):
        retire(client, settings, USE_CASE, 1)
    with pytest.raises(TreehouseError, match="no such version"):
        retire(client, settings, USE_CASE, 9)
