"""Moves on a real engine with three volumes: planned, done, resumed, refused, taken back."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError
from typer.testing import CliRunner

from tests.tiering.conftest import TABLE, Shop
from treehouse.cli.main import app
from treehouse.clickhouse.client import connect
from treehouse.clickhouse.turns import BusyError, alone
from treehouse.platform.tiering import apply as applying
from treehouse.platform.tiering.apply import apply, undo_moves
from treehouse.platform.tiering.config import Tiering
from treehouse.platform.tiering.log import history, unfinished
from treehouse.platform.tiering.plan import Plan, make_plan
from treehouse.project.errors import TreehouseError

pytestmark = pytest.mark.slow

_COLD = {"1": "cold", "2": "cold", "3": "cold", "4": "cold", "5": "default", "6": "default"}
_HOT = dict.fromkeys("123456", "default")


def plan_of(shop: Shop) -> Plan:
    return make_plan(shop.client, shop.settings)


def do(shop: Shop) -> Any:
    return apply(shop.client, shop.settings, plan_of(shop).moves)


def _query_of(shop: Shop) -> str:
    sql = "select as_select from system.tables where name = 'storage_tiering_decisions'"
    return str(shop.query(sql)[0][0])


def reasons(shop: Shop) -> dict[str, int]:
    return {entry["reason"]: entry["partitions"] for entry in plan_of(shop).held}


def test_a_plan_moves_nothing_and_the_most_saving_comes_first(shop: Shop) -> None:
    plan = plan_of(shop)
    assert [move.partition_id for move in plan.moves] == ["4", "3", "2", "1"]
    assert {(m.from_volume, m.to_volume) for m in plan.moves} == {("default", "cold")}
    assert plan.saved_usd_per_month == 10
    assert (plan.partitions, plan.usd_per_month, plan.model_version) == (6, 6, 1)
    assert shop.disks() == _HOT
    assert shop.states() == []


def test_moves_are_done_logged_and_taken_back_and_nothing_flaps(shop: Shop) -> None:
    done = do(shop)
    assert [outcome["state"] for outcome in done.outcomes] == ["finished"] * 4
    assert shop.disks() == _COLD
    assert shop.states() == ["started", "finished"] * 4
    assert plan_of(shop).moves == ()

    back = undo_moves(shop.client, shop.settings)
    assert shop.disks() == _COLD
    apply(shop.client, shop.settings, back)
    assert shop.disks() == _HOT
    assert shop.rows() == 6000
    assert undo_moves(shop.client, shop.settings) == ()
    assert reasons(shop) == {"was moved less than 7 days ago": 4}
    shop.configure(minimum_stay_days=0)
    assert len(plan_of(shop).moves) == 4


@pytest.mark.server
def test_a_server_moves_and_takes_back(server_shop: Shop) -> None:
    assert do(server_shop).count("finished") == 4
    assert server_shop.disks() == _COLD
    back = undo_moves(server_shop.client, server_shop.settings)
    apply(server_shop.client, server_shop.settings, back)
    assert server_shop.disks() == _HOT
    assert server_shop.rows() == 6000


def test_undo_goes_back_run_by_run(shop: Shop) -> None:
    first, *others = plan_of(shop).moves
    apply(shop.client, shop.settings, [first])
    apply(shop.client, shop.settings, others)
    apply(shop.client, shop.settings, undo_moves(shop.client, shop.settings))
    assert shop.disks() == _HOT | {first.partition_id: "cold"}
    assert [m.undoes for m in undo_moves(shop.client, shop.settings)] == [first.move]


def test_a_killed_run_is_finished_by_the_next(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed once before a partition was moved and once after it, before the log said so."""
    write, killed = applying.write, []

    def die(*arguments: Any) -> None:
        state, at = arguments[4], len(killed)
        if (state, at) in (("finished", 0), ("finished", 1)):
            killed.append(arguments[3])
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(applying, "write", die)
    with pytest.raises(KeyboardInterrupt):
        do(shop)
    shop.client.command(f"alter table {TABLE} move partition id '4' to volume 'default'")
    with pytest.raises(KeyboardInterrupt):
        apply(shop.client, shop.settings, ())
    monkeypatch.setattr(applying, "write", write)
    assert [move.partition_id for _, move in unfinished(shop.client, shop.settings)] == ["4"]
    assert shop.states() == ["started", "started"]

    done = do(shop)
    assert done.count("finished") == 4
    assert shop.disks() == _COLD
    assert unfinished(shop.client, shop.settings) == []
    found = {row["partition_id"]: row for row in history(shop.client, shop.settings)}
    assert found["4"]["detail"] == "all of it was there already"
    assert len(found) == 4
    assert shop.rows() == 6000


def test_a_table_that_is_not_named_is_refused(shop: Shop) -> None:
    moves = plan_of(shop).moves
    with pytest.raises(TreehouseError, match="does not name is never moved"):
        make_plan(shop.client, shop.settings, ["system.query_log"])
    shop.configure(tables={"treehouse_shop.other": 1})
    assert plan_of(shop).partitions == 0
    with pytest.raises(TreehouseError, match="does not name is never moved"):
        apply(shop.client, shop.settings, moves)
    assert shop.disks() == _HOT
    assert shop.states() == []


def test_a_missing_volume_is_said(shop: Shop) -> None:
    moves = plan_of(shop).moves
    shop.configure(volumes={"hot": "default", "warm": "warm", "cold": "glacier"})
    assert reasons(shop) == {"the storage policy tiered has no volume glacier": 4}
    done = apply(shop.client, shop.settings, [replace(m, to_volume="glacier") for m in moves])
    assert {o["detail"] for o in done.outcomes} == {"its storage policy has no volume glacier"}
    assert shop.states() == ["skipped"] * 4


def test_a_dropped_table_and_a_dropped_partition_are_skipped(shop: Shop) -> None:
    moves = plan_of(shop).moves
    shop.client.command(f"alter table {TABLE} drop partition id '4'")
    done = apply(shop.client, shop.settings, moves[:2])
    assert [(o["state"], o["detail"]) for o in done.outcomes] == [
        ("skipped", "it is no longer there"), ("finished", ""),
    ]  # fmt: skip
    shop.client.command(f"drop table {TABLE} sync")
    done = apply(shop.client, shop.settings, moves[2:])
    assert [o["detail"] for o in done.outcomes] == ["it is no longer there"] * 2


def test_what_a_mutation_or_a_merge_is_at_work_on_stays(shop: Shop) -> None:
    moves = plan_of(shop).moves
    shop.client.command(f"system stop merges {TABLE}")
    shop.client.command(
        f"alter table {TABLE} update n = n + 1 where day = 3", settings={"mutations_sync": 0}
    )
    held = reasons(shop)
    assert held["a mutation is not done"] >= 1
    done = apply(shop.client, shop.settings, [m for m in moves if m.partition_id == "3"])
    assert [o["detail"] for o in done.outcomes] == ["a mutation is not done"]
    assert shop.disks()["3"] == "default"
    shop.client.command(f"system start merges {TABLE}")


def test_a_merge_keeps_its_parts(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen before the move; and where it began just after the look, the engine says no."""
    shop.client.command(f"alter table {TABLE} add column s String")
    for _ in range(2):
        shop.client.command(
            f"insert into {TABLE} select 2, number, hex(rand64()) from numbers(600000)"
        )
    # What the merge writes is packed hard, so that it takes its time.
    shop.client.command(f"alter table {TABLE} modify column s String codec(ZSTD(19))")
    moves, rows = [m for m in plan_of(shop).moves if m.partition_id == "2"], shop.rows()
    other = connect(shop.settings)

    def optimize() -> None:
        with suppress(ClickHouseError):  # it is stopped in the end
            other.command(f"optimize table {TABLE} partition id '2' final")

    merge = Thread(target=optimize)
    merge.start()
    merging = "select count() from system.merges where database = 'treehouse_shop'"
    while not shop.query(merging)[0][0]:
        assert merge.is_alive()
    assert reasons(shop) == {"is being merged": 1}
    seen = apply(shop.client, shop.settings, moves)
    monkeypatch.setattr(applying, "BUSY", "(select '' as busy_partition, '' as why where 0)")
    unseen = apply(shop.client, shop.settings, moves)
    shop.client.command(f"system stop merges {TABLE}")
    merge.join()
    other.close()
    assert [(o["state"], o["detail"]) for o in seen.outcomes] == [("skipped", "is being merged")]
    assert unseen.count("failed") == 1
    assert "participating in background process" in unseen.outcomes[0]["detail"]
    assert (shop.disks(), shop.rows()) == (_HOT, rows)


def test_a_full_disk_keeps_its_reserve(shop: Shop) -> None:
    moves = plan_of(shop).moves
    shop.configure(free_share=0.999)
    assert reasons(shop) == {"would leave less than 100% of the disk free": 4}
    done = apply(shop.client, shop.settings, moves)
    assert {o["detail"] for o in done.outcomes} == {
        "would leave less of the disk free than the reserve"
    }
    assert shop.disks() == _HOT


def test_a_run_ends_at_its_limit_of_bytes(shop: Shop) -> None:
    sizes = [move.bytes for move in plan_of(shop).moves]
    shop.configure(bytes_per_run=sum(sizes[:2]))
    plan = plan_of(shop)
    assert [move.partition_id for move in plan.moves] == ["4", "3"]
    assert reasons(shop) == {"waits for the next run: the limit is reached": 2}
    assert do(shop).count("finished") == 2
    assert do(shop).count("finished") == 2
    assert shop.disks() == _COLD


def test_what_no_run_may_move_holds_nothing_else_back(shop: Shop) -> None:
    shop.client.command(f"insert into {TABLE} select 4, rand64() from numbers(20000)")
    sizes = {move.partition_id: move.bytes for move in plan_of(shop).moves}
    shop.configure(bytes_per_run=sizes["4"] - 1)
    assert reasons(shop) == {"is larger than what one run may move": 1}
    assert {move.partition_id for move in plan_of(shop).moves} == {"1", "2", "3"}


def test_an_engine_that_refuses_is_quoted_and_the_rest_goes_on(shop: Shop) -> None:
    first, second, *_ = plan_of(shop).moves
    command = shop.client.command

    def refuse(sql: str, *arguments: Any, **named: Any) -> Any:
        if f"partition id '{first.partition_id}'" in sql:
            raise ClickHouseError("Code: 243. DB::Exception: Cannot reserve 1.00 MiB")
        return command(sql, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shop.client, "command", refuse)
        done = apply(shop.client, shop.settings, [first, second])
    assert [o["state"] for o in done.outcomes] == ["failed", "finished"]
    assert "Cannot reserve" in done.outcomes[0]["detail"]
    assert plan_of(shop).moves[0].partition_id == first.partition_id


def test_a_second_run_is_refused(shop: Shop) -> None:
    moves = plan_of(shop).moves
    other = connect(shop.settings)
    node = shop.query("select hostName()")[0][0]
    with (
        alone(other, shop.settings, f"move partitions of {node}"),
        pytest.raises(BusyError, match="Only one at a time: move partitions"),
    ):
        apply(shop.client, shop.settings, moves)
    other.close()
    assert shop.disks() == _HOT


def test_only_at_the_configured_hours(shop: Shop) -> None:
    hour = shop.query("select toHour(now('UTC'))")[0][0]
    shop.configure(hours=f"{(hour + 2) % 24}-{(hour + 3) % 24}")
    with pytest.raises(TreehouseError, match="not the time to move"):
        do(shop)
    assert shop.disks() == _HOT
    apply(shop.client, shop.settings, plan_of(shop).moves, any_time=True)
    assert shop.disks() == _COLD


@pytest.mark.parametrize(("hours", "open_at"), [("22-6", {22, 23, 0, 5}), ("0-24", {*range(24)})])
def test_hours_may_pass_midnight(shop: Shop, hours: str, open_at: set[int]) -> None:
    shop.configure(hours=hours)
    found = {hour for hour in range(24) if Tiering.configured().is_open(hour)}
    assert open_at <= found
    assert (12 in found) == (hours == "0-24")


@pytest.mark.parametrize(
    "wrong",
    [
        {"hours": "6"},
        {"hours": "6-6"},
        {"volumes": {"hot": "default"}},
        {"tables": {"visits": 1}},
        {"free_share": 1.5},
        {"free_share": "much"},
        {"bytes_per_run": "lots"},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(shop: Shop, wrong: dict[str, Any]) -> None:
    shop.configure(**wrong)
    with pytest.raises(TreehouseError):
        make_plan(shop.client, shop.settings)


def test_without_a_row_of_the_logs_nothing_moves(shop: Shop) -> None:
    """As after the logs were rotated before they were collected."""
    shop.client.command(
        "create or replace view treehouse.storage_tiering_decisions as "
        f"select * from ({_query_of(shop)}) where 0"
    )
    assert plan_of(shop).moves == ()
    shown = CliRunner().invoke(app, ["tier", "plan"])
    assert "Nothing is known of the configured tables" in shown.output


def test_an_empty_house_says_what_to_do(shop: Shop) -> None:
    shop.client.command("drop view treehouse.storage_tiering_decisions")
    with pytest.raises(TreehouseError, match="There are no decisions yet") as error:
        plan_of(shop)
    assert "./treehouse build" in str(error.value.fix)


def test_commands_show_first_and_do_with_yes(shop: Shop) -> None:
    def tier(*arguments: str) -> Any:
        done = CliRunner().invoke(app, ["tier", *arguments, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    assert [m["partition_name"][-1] for m in tier("plan")["moves"]] == ["4", "3", "2", "1"]
    assert tier("apply")["moves"] == tier("plan")["moves"]
    assert shop.disks() == _HOT
    assert len(tier("apply", "--yes")["outcomes"]) == 4
    assert shop.disks() == _COLD
    assert len(tier("undo")) == 4
    assert shop.disks() == _COLD
    tier("undo", "--yes")
    assert shop.disks() == _HOT
    assert [row["state"] for row in tier("log", "--limit", "5")] == ["finished"] * 5
    for command in (["plan"], ["log"], ["undo"]):
        shown = CliRunner().invoke(app, ["tier", *command])
        assert shown.exit_code == 0, shown.output
