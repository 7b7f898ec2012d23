"""What every use case must do: each test here runs for every spec that is found."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.client import Client

from tests.conftest import Engine
from tests.support.cleaning import drop_everything
from treehouse.project.contract import Contract, contracts
from treehouse.project.settings import Settings
from treehouse.spec import Spec, specs


@pytest.fixture(scope="module", params=list(specs()))
def spec(request: pytest.FixtureRequest) -> Spec:
    """Each use case in turn."""
    return specs()[request.param]


@pytest.fixture(scope="module", params=list(contracts()))
def contract(request: pytest.FixtureRequest) -> Contract:
    """Each contract in turn, whether or not it has a spec."""
    return contracts()[request.param]


@pytest.fixture(scope="module")
def embedded(settings: Settings, client: Client) -> Engine:
    """The embedded engine alone, emptied: for what is the same SQL on every engine."""
    drop_everything(client)
    return Engine(settings, client)
