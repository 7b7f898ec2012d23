"""One query, one version: while versions are promoted back and forth, no answer mixes two."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.flow.conftest import ARGUMENTS, House
from tests.support import torn
from tests.support.small_bundle import USE_CASE
from treehouse.bundle import bundle_id
from treehouse.cli.doctor import diagnose
from treehouse.clickhouse.client import connect, run_script
from treehouse.project.contract import load_contract
from treehouse.project.settings import Settings
from treehouse.registry.publish import upload

READERS = 3
Promote = Callable[[], None]


@pytest.fixture
def promote(house: House) -> Iterator[Promote]:
    """Lets the other version of both models answer, at each call; views of them are there."""
    client, settings = house.engine.client, house.engine.settings
    rows: dict[int, list[str]] = {1: [], 2: []}
    client.command("truncate table treehouse_registry.experiments")
    for factor, make in itertools.product(torn.FACTORS, (torn.forest_bundle, torn.network_bundle)):
        bundle = make(factor)
        data = bundle.to_bytes()
        upload(client, settings, data, {"numeric": [], "categorical": [], "answers": []})
        client.command(
            "insert into treehouse_registry.versions (model, version, bundle) values "
            f"('{bundle.model}', {bundle.version}, {bundle_id(data)})"
        )
        rows[bundle.version].append(
            f"(now64(6), '{bundle.model}', '{load_contract(bundle.model).hash}', 'promote', "
            f"{bundle.version}, {bundle_id(data)})"
        )
    own, turn = connect(settings), itertools.cycle(rows.items())

    def promote() -> None:
        version, champions = next(turn)
        own.command(
            "insert into treehouse_registry.events (at, model, contract, action, version, bundle) "
            "values " + ", ".join(champions)
        )
        own.command(torn.moved(version))
        for name in ("champions", "assignment_log"):
            own.command(f"system reload dictionary treehouse_registry.{name}")

    client.command("system reload dictionary treehouse_registry.bundles")
    client.command(torn.experiment())
    promote()
    run_script(client, torn.views())
    yield promote
    own.close()
    client.command("truncate table treehouse_registry.experiments")
    for name in ("torn_keeper", "torn_views", "torn_view", "torn_source", "torn_kept"):
        client.command(f"drop table treehouse.{name} sync")


class Readers:
    """Ask every form in turn and insert batch after batch, until each has answers enough and the
    promotions are done."""

    def __init__(self, settings: Settings, queries: dict[str, str], answers: int) -> None:
        self.settings, self.answers, self.promoted_enough = settings, answers, False
        self.queries, self.done = queries, dict.fromkeys([*queries, "insert"], 0)
        self.mixed: dict[str, list[set[float]]] = {name: [] for name in queries}
        self.seen: set[float] = set()
        self.failures: list[BaseException] = []
        works = [self._ask] * READERS + [self._insert]
        self.threads = [threading.Thread(target=self._run, args=(work,)) for work in works]

    def _run(self, work: Callable[[Client], None]) -> None:
        client = connect(self.settings)
        try:
            work(client)
        except BaseException as error:  # told to the test
            self.failures.append(error)
        client.close()

    def _ask(self, client: Client) -> None:
        while not self.failures and not self._asked_enough():
            for name, query in self.queries.items():
                found = factors(client.query(query).result_rows)
                self.seen |= found
                if len(found) != 1 or not found <= set(torn.FACTORS):
                    self.mixed[name].append(found)
                self.done[name] += 1

    def _asked_enough(self) -> bool:
        fewest = min(self.done[name] for name in self.queries)
        return self.promoted_enough and fewest >= self.answers

    def _insert(self, client: Client) -> None:
        for batch in itertools.count():
            if batch >= self.answers or self.failures:
                return
            client.command(torn.insert(batch))
            self.done["insert"] += 1


def factors(rows: Sequence[Sequence[Any]]) -> set[float]:
    """Every number of an answer, rid of what rounding leaves."""
    cells = [cell for row in rows for cell in row]
    numbers = [n for cell in cells for n in (cell if isinstance(cell, list) else [cell])]
    return {round(n, 4) for n in numbers}


def run(house: House, promote: Promote, answers: int, promotions: int) -> None:
    """So many answers of each form, under at least so many promotions; none mixes two versions."""
    readers = Readers(house.engine.settings, torn.queries(), answers)
    promoted = 0
    for thread in readers.threads:
        thread.start()
    while any(thread.is_alive() for thread in readers.threads):
        promote()
        promoted += 1
        readers.promoted_enough = promoted >= promotions
    print(house.engine.target, promoted, readers.done)  # for who runs it with -s
    assert readers.failures == []
    assert readers.seen == set(torn.FACTORS)
    assert min(readers.done.values()) >= answers
    kept = house.query(torn.KEPT_FACTORS)
    assert len(kept) == answers
    assert {rows for rows, _ in kept} == {torn.BLOCKS * torn.BLOCK_ROWS}
    stored = {batch: found for batch, (_, found) in enumerate(kept) if len(factors([[found]])) > 1}
    assert {name: mixed[:3] for name, mixed in readers.mixed.items() if mixed} | stored == {}


def test_no_answer_mixes_two_versions(house: House, promote: Promote) -> None:
    run(house, promote, answers=20, promotions=40)


@pytest.mark.exhaustive
def test_no_answer_of_many_mixes_two_versions(house: House, promote: Promote) -> None:
    run(house, promote, answers=5000, promotions=200)


def test_where_is_never_moved_to_prewhere(house: House) -> None:
    """The engine knows executable functions everywhere else; README says so."""
    house.promoted(2)
    call = f"predict_{USE_CASE}({ARGUMENTS})"
    moving = {
        "optimize_move_to_prewhere": 1,
        "query_plan_optimize_prewhere": 1,
        "move_all_conditions_to_prewhere": 1,
    }
    query = f"select count() > 0 from treehouse.flow_rows where {call} > 19 and amount_1m < 11"
    assert house.engine.client.query(query, settings=moving).result_rows == [(1,)]
    with pytest.raises(ClickHouseError, match="Unknown function treehouse_score"):
        house.query(f"select count() from treehouse.flow_rows prewhere {call} > 19")


def test_a_columns_default_takes_a_fixed_version_only(house: House) -> None:
    house.promoted(2)
    columns = "a Float64, b Nullable(Float64) default "
    empty = ", ".join("a" if name == "amount_1m" else "nan" for name in ARGUMENTS.split(", "))
    table = "create table treehouse.torn_default ({}) engine = MergeTree order by tuple()"
    with pytest.raises(ClickHouseError, match="Select query is not allowed"):
        house.query(table.format(f"{columns} predict_{USE_CASE}({empty})"))
    client = house.engine.client
    client.command(table.format(f"{columns} predict_{USE_CASE}_at(1, {empty})"))
    client.command("insert into treehouse.torn_default (a) values (10)")
    assert house.query("select b from treehouse.torn_default") == [(20,)]
    client.command("drop table treehouse.torn_default sync")


@pytest.mark.parametrize(
    "lookup",
    [
        "dictGet('treehouse_registry.champions', 'bundle', ('a', 'b'))",
        "'treehouse_registry.assignments'",
    ],
    ids=["champion", "variant"],
)
def test_doctor_names_what_an_older_release_made(house: House, lookup: str) -> None:
    client = house.engine.client
    client.command(f"create view treehouse.torn_old as select {lookup} as bundle")
    (registry,) = (c for c in diagnose(house.engine.settings) if c.name == "registry")
    client.command("drop view treehouse.torn_old sync")
    assert registry.status == "warn"
    assert "treehouse.torn_old" in registry.found
    assert "predict_" not in registry.found
    assert "./treehouse build" in registry.fix
