"""What every use case must do: each test here runs for every spec that is found."""

from __future__ import annotations

import pytest

from training.contract import Contract, contracts
from training.spec import Spec, specs


@pytest.fixture(params=list(specs()))
def spec(request: pytest.FixtureRequest) -> Spec:
    """Each use case in turn."""
    return specs()[request.param]


@pytest.fixture(params=list(contracts()))
def contract(request: pytest.FixtureRequest) -> Contract:
    """Each contract in turn, whether or not it has a spec."""
    return contracts()[request.param]
