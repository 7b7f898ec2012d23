"""The parts of a training set are apart in time, and no label of one reaches into a later one."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.client import Client

from tests.conftest import Engine
from tests.support.future import changed_columns, empty_sources, keep, make_pool
from tests.support.house import dbt
from treehouse.clickhouse.client import identifier
from treehouse.ingest.sources import ensure_raw
from treehouse.project.contract import Contract
from treehouse.spec import Spec

pytestmark = pytest.mark.slow

_CHOICE = ("validation", "calibration")


@pytest.fixture(scope="module")
def state(embedded: Engine) -> Engine:
    """The sources' tables, empty."""
    ensure_raw(embedded.client, embedded.settings)
    return embedded


def test_splits(state: Engine, spec: Spec) -> None:
    """Nothing that is fitted knows what comes after the test's first row, not even as a label; and
    who is both in training and in choice has labels that were known when the choice began."""
    client, settings, contract = state.client, state.settings, spec.contract
    name = f"{spec.use_case}_training_set"
    pool = make_pool(client, settings, spec)

    def build(before: str | None, kept: str) -> None:
        empty_sources(client, settings)
        pool.move(client, settings, None, before)
        dbt(settings, "run", "--full-refresh", "--select", f"+{name}")
        keep(client, settings, kept, name)

    build(None, f"{name}_whole")
    time, keys = identifier(contract.time), ", ".join(map(identifier, contract.keys))
    table = f"treehouse_stages.{name}_whole"
    for early, late in ((("train",), _CHOICE), (("train", *_CHOICE), ("test",))):
        is_early, is_late = f"split in {_list(early)}", f"split in {_list(late)}"
        ends, begins, moment, shared = client.query(
            f"select maxIf({time}, {is_early}), minIf({time}, {is_late}) as begins,"
            " toUnixTimestamp64Milli(toDateTime64(begins, 3, 'UTC')),"
            f" countIf({is_early} and ({keys}) in (select {keys} from {table} where {is_late}))"
            f" from {table}"
        ).result_rows[0]
        assert ends < begins
        if late == _CHOICE and not shared:
            continue
        kept = f"{name}_before_{late[0]}"
        build(f"fromUnixTimestamp64Milli({moment}, 'UTC')", kept)
        keep_early = f"{name}_until_{late[0]}"
        client.command(
            f"create table treehouse_stages.{keep_early} engine = MergeTree order by tuple() "
            f"as select * from {table} where split in {_list(early)}"
        )
        found = changed_columns(client, contract, [contract.label, *spec.also], (keep_early, kept))
        assert found == ({}, 1.0)
    if contract.known_at:
        _check_known_at(client, contract, table)


def _check_known_at(client: Client, contract: Contract, table: str) -> None:
    """What the training set says of when a label was known agrees with how it is split."""
    known = f"toDateTime64({identifier(contract.known_at)}, 3, 'UTC')"
    time = f"toDateTime64({identifier(contract.time)}, 3, 'UTC')"
    latest, test, backwards = client.query(
        f"select maxIf({known}, split in {_list(('train', *_CHOICE))}),"
        f" minIf({time}, split = 'test'), countIf({known} < {time}) from {table}"
    ).result_rows[0]
    assert latest <= test
    assert backwards == 0


def _list(splits: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"'{split}'" for split in splits) + ")"
