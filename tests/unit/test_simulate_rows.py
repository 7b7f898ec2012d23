"""The simulator's rows: reproducible, in order, and within the bounds that it documents."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from tests.support.some import some
from treehouse.simulation.app import generate as generation
from treehouse.simulation.app.blocks import DAY_MS, Block, Events
from treehouse.simulation.app.generate import (
    EventRows,
    day_number,
    event_rows,
    generate,
    revenue_cents,
)
from treehouse.simulation.app.parameters import (
    AD_VIEW,
    BLOCK_USERS,
    PURCHASE,
    SESSION_START,
    SHOP_VIEW,
    Parameters,
)
from treehouse.simulation.app.truth import COLUMNS, truth

END = date(2026, 6, 30)
ALL = 10**7


@pytest.fixture(scope="module")
def block() -> Block:
    return generate(Parameters(), 7, END, 1)


@pytest.fixture(scope="module")
def rows(block: Block) -> EventRows:
    """Everything, the future too."""
    return event_rows(block, ALL)


def same(left: EventRows, right: EventRows) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(*map(columns, (left, right)), strict=True))


def columns(rows: EventRows) -> list[np.ndarray]:
    return list(vars(rows).values())


def test_same_seed_gives_same_rows(block: Block, rows: EventRows) -> None:
    again = generate(Parameters(), 7, END, 1)
    assert same(rows, event_rows(again, ALL))
    for name, values in truth(block, ALL).items():
        np.testing.assert_array_equal(values, truth(again, ALL)[name], err_msg=name)


@pytest.mark.parametrize(
    "other",
    [
        generate(Parameters(), 8, END, 1),
        generate(Parameters(), 7, END, 2),
        generate(Parameters(world_seed=1), 7, END, 1),
    ],
    ids=["seed", "block", "world"],
)
def test_other_seed_block_or_world_gives_other_rows(other: Block, block: Block) -> None:
    assert not np.array_equal(other.users.views, block.users.views)


def test_fewer_users_are_the_first_users(block: Block, rows: EventRows) -> None:
    users = BLOCK_USERS + 100
    few = event_rows(block, users)
    keep = rows.user < users
    assert 0 < few.user.size < rows.user.size
    assert same(few, EventRows(*(column[keep] for column in columns(rows))))
    assert truth(block, users)["user"].tolist() == list(range(BLOCK_USERS, users))


def test_the_present_only_cuts(block: Block, rows: EventRows) -> None:
    seen = event_rows(block, ALL, END)
    keep = rows.at_ms < day_number(END) * DAY_MS
    assert 0.5 < keep.mean() < 1
    assert same(seen, EventRows(*(column[keep] for column in columns(rows))))


def test_installs_come_in_the_days_before_the_present(block: Block) -> None:
    day = block.users.install_day
    days = block.world.parameters.acquisition.days
    assert day.min() == day_number(END) - days
    assert day.max() == day_number(END) - 1
    assert np.array_equal(block.users.install_ms // DAY_MS, day)


def test_first_event_is_the_install(block: Block, rows: EventRows) -> None:
    first = rows.number == 1
    assert np.array_equal(rows.user[first], block.first + np.arange(BLOCK_USERS))
    assert np.array_equal(rows.at_ms[first], block.users.install_ms)
    assert (rows.name[first] == SESSION_START).all()


def test_events_are_numbered_in_time(rows: EventRows) -> None:
    follows = np.diff(rows.user) == 0
    assert (np.diff(rows.number)[follows] == 1).all()
    assert (np.diff(rows.at_ms)[follows] >= 0).all()
    assert np.isin(np.diff(rows.session)[follows], (0, 1)).all()
    ids = np.stack([rows.user, rows.number])
    assert np.unique(ids, axis=1).shape[1] == rows.user.size


def test_durations_add_up_to_sessions(block: Block, rows: EventRows) -> None:
    assert rows.duration_ms.min() >= 0
    starts = np.flatnonzero(rows.name == SESSION_START)
    assert starts.size == block.sessions.user.size
    total = np.add.reduceat(rows.duration_ms, starts)
    np.testing.assert_array_equal(total, block.sessions.length_ms)


def test_sessions_stay_in_their_day_and_do_not_overlap(block: Block) -> None:
    sessions = block.sessions
    end = sessions.start_ms + sessions.length_ms
    assert (sessions.start_ms // DAY_MS == sessions.day - 1).all()
    assert (end <= sessions.day * DAY_MS).all()
    follows = np.diff(sessions.user) == 0
    assert (end[:-1][follows] <= sessions.start_ms[1:][follows]).all()


def test_nobody_acts_after_the_lifetime(block: Block) -> None:
    assert (block.sessions.day <= block.life.lifetime[block.sessions.user]).all()
    assert block.life.lifetime.max() == block.world.parameters.activity.life_days


def test_only_purchases_bring_revenue(block: Block, rows: EventRows) -> None:
    bought = rows.name == PURCHASE
    most = round(100 * block.world.parameters.spending.max_amount_usd)
    assert (rows.cents[~bought] == 0).all()
    assert rows.cents[bought].min() >= 1
    assert rows.cents[bought].max() <= most


def test_a_purchase_follows_a_shop_view_of_its_session(rows: EventRows) -> None:
    start = np.flatnonzero(rows.name == SESSION_START)
    session = np.searchsorted(start, np.arange(rows.name.size), side="right")

    def within(name: int) -> np.ndarray:
        is_it = np.cumsum(rows.name == name)
        return is_it - (is_it[start] - (rows.name[start] == name))[session - 1]

    assert (rows.name == PURCHASE).sum() > 500
    assert (within(PURCHASE) <= within(SHOP_VIEW)).all()


def test_revenue_of_days_of_life(block: Block, rows: EventRows) -> None:
    """By the calendar: the day of the install, UTC, is day 1."""
    user = rows.user - block.first
    day = rows.at_ms // DAY_MS - block.users.install_day[user]
    table = np.zeros_like(revenue_cents(block))
    np.add.at(table, (user, day), rows.cents)
    np.testing.assert_array_equal(table, revenue_cents(block))


def test_one_more_process_changes_nothing_else(
    block: Block, rows: EventRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pushes(block: Block, rng: np.random.Generator) -> None:
        session = rng.integers(0, block.sessions.user.size, 50)
        nothing = np.zeros(50, np.int64)
        block.events.append(Events(session, nothing + AD_VIEW, nothing, nothing))

    first, second, *rest = generation.PROCESSES
    monkeypatch.setattr(generation, "PROCESSES", (first, second, pushes, *rest))
    with_pushes = generate(Parameters(), 7, END, 1)
    assert event_rows(with_pushes, ALL).user.size == rows.user.size + 50
    assert np.array_equal(with_pushes.sessions.start_ms, block.sessions.start_ms)
    assert np.array_equal(revenue_cents(with_pushes), revenue_cents(block))


def test_truth_has_the_columns_that_it_documents(block: Block) -> None:
    columns = truth(block, ALL)
    assert list(columns) == ["user", *COLUMNS]
    kinds = {"Int64": np.int64, "Float64": np.float64}
    assert {name: columns[name].dtype for name in COLUMNS} == {
        name: np.dtype(kinds[kind]) for name, (kind, _) in COLUMNS.items()
    }
    assert all(np.isfinite(values).all() for values in some(columns.values()))


def test_parameters_matter() -> None:
    """A platform where no view converts earns nothing."""
    parameters = Parameters()
    free = replace(parameters, spending=replace(parameters.spending, conversion=0.0))
    assert revenue_cents(generate(parameters, 1, END, 0)).sum() > 0
    assert revenue_cents(generate(free, 1, END, 0)).sum() == 0
