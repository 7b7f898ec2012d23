"""Two people at once: each command sees what the other did, or is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from tests.flow.conftest import ON_EMBEDDED, House
from tests.support.small_bundle import USE_CASE
from treehouse.clickhouse.client import connect
from treehouse.clickhouse.ddl import MACROS, render
from treehouse.clickhouse.state import ensure_experiments
from treehouse.clickhouse.turns import alone
from treehouse.experiments.definition import Definition
from treehouse.experiments.state import experiments, grow, start, stop
from treehouse.project.errors import TreehouseError
from treehouse.registry import garbage as collecting
from treehouse.registry.garbage import COLLECTING, PUBLISHING, collect
from treehouse.registry.promotions import OvertakenError, promote, retire, versions
from treehouse.registry.sync import wrong_files

pytestmark = pytest.mark.slow

STATE = MACROS / "state" / "experiments.sql"


def elsewhere(house: House, work: Callable[[Client], Any]) -> threading.Thread:
    """Somebody else's command, begun; it may be refused."""

    def run() -> None:
        client = connect(house.engine.settings)
        with suppress(TreehouseError):
            work(client)
        client.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_gc_leaves_the_champion_whenever_it_was_promoted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promotion comes after gc has looked and before it removes."""
    settings = house.engine.settings
    first, _ = house.promoted(2), [house.promoted(factor) for factor in (3, 4)]
    retire(house.engine.client, settings, USE_CASE, first.version)
    others: list[threading.Thread] = []

    def looked(*_: Any) -> set[int]:
        number = first.version
        others.append(
            elsewhere(house, lambda c: promote(c, settings, USE_CASE, number, force=True))
        )
        others[-1].join(3)
        return set()

    monkeypatch.setattr(collecting, "in_experiments", looked)
    collect(house.engine.client, settings, keep=0)
    for other in others:
        other.join()
    assert others
    (champion,) = [v for v in versions(house.engine.client, settings) if v.is_champion]
    assert champion.state == "published"
    assert wrong_files(house.engine.client, settings) == []
    assert house.answer() == {1: 20, 3: 40}[champion.version]


@ON_EMBEDDED
def test_gc_leaves_what_is_being_published(house: House) -> None:
    """A file of no version, older than a day, that a publisher has just found there."""
    client, settings = house.engine.client, house.engine.settings
    client.command(
        "insert into treehouse_registry.artifacts (bundle, created_at, content) "
        "values (77, now() - interval 2 day, 'x')"
    )
    with alone(client, settings, f"{PUBLISHING} {USE_CASE}"):
        assert collect(client, settings) == []
    assert [g.bundle for g in collect(client, settings)] == [77]


@ON_EMBEDDED
def test_a_publish_waits_for_gc(house: House) -> None:
    client, settings = house.engine.client, house.engine.settings
    with alone(client, settings, COLLECTING):
        own = connect(settings)
        mine = House(type(house.engine)(settings, own), house.folder)
        other = threading.Thread(target=mine.publish, args=(2,))
        other.start()
        other.join(2)
        assert house.count("artifacts") == 0
    other.join()
    own.close()
    assert house.count("versions") == 1


@ON_EMBEDDED
def test_a_promotion_in_place_of_another_version_is_refused(house: House) -> None:
    client, settings = house.engine.client, house.engine.settings
    first, (second, _) = house.promoted(2), house.publish(3)
    with pytest.raises(OvertakenError, match="in the meantime"):
        promote(client, settings, USE_CASE, second.version, instead_of=0)
    assert house.answer() == 20
    promote(client, settings, USE_CASE, second.version, instead_of=first.version)
    assert house.answer() == 30


def shadow(house: House, name: str) -> Definition:
    """A definition that needs no metric."""
    version = versions(house.engine.client, house.engine.settings)[0].version
    return Definition(
        name, model=USE_CASE, variants=("champion", "challenger"), versions=(0, version),
        is_shadow=True, metrics=(),
    )  # fmt: skip


def forget_experiments(house: House) -> None:
    ensure_experiments(house.engine.client, house.engine.settings)
    house.engine.client.command("truncate table treehouse_registry.experiments")


def test_of_four_starts_of_one_name_one_starts(house: House) -> None:
    house.promoted(2)
    forget_experiments(house)
    definition, barrier = shadow(house, "at_once"), threading.Barrier(4)

    def attempt(_: int) -> bool:
        client = connect(house.engine.settings)
        barrier.wait()
        try:
            start(client, house.engine.settings, definition)
        except TreehouseError as error:
            if "There was an experiment of this name" not in error.what:
                raise
            return False
        finally:
            client.close()
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(4))) == 1
    assert house.count("experiments") == 1
    forget_experiments(house)


def test_an_experiment_stops_though_the_clock_went_back(house: House) -> None:
    house.promoted(2)
    forget_experiments(house)
    client, settings = house.engine.client, house.engine.settings
    start(client, settings, shadow(house, "late"))
    client.command(
        "insert into treehouse_registry.experiments "
        "select * replace(toDateTime64('2099-01-01', 6, 'UTC') as at) "
        "from treehouse_registry.experiments"
    )
    grow_refused = "The share can only grow"
    with pytest.raises(TreehouseError, match=grow_refused):
        grow(client, settings, "late", 0.5)
    stop(client, settings, "late")
    assert [row["state"] for row in experiments(client, settings)] == ["stopped"]
    now = render(STATE, "experiment_now", "treehouse_registry", ["challenger"], "'late'")
    assert house.query(f"select {now}") == [(0,)]
    forget_experiments(house)
