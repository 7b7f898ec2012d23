"""`bench prefetch`: the same later hours of dashboards and analysts, with and without answers ahead.

Models learn from the earlier part of a seeded plan, on small tables. Then each arm asks the requests
of the later part at their own pace, some times as fast as life, with all that the owner allows in
the same proportion; the tables are large enough that a query takes what it does on a platform. A
pass of an arm takes as long as in life, and so weighs more than it would there.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import yaml

from training.console import Report
from training.engine import connect
from training.settings import project_vars
from training.workload.dashboards import named_queries
from training.workload.plan import Options as Plan
from training.workload.plan import Request, plan

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from training.settings import Settings

Record = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What is asked, and how fast.

    Attributes:
        hours: Simulated hours that models learn from; the next working hour is judged.
        minutes: Simulated minutes that each arm is judged by.
        speed: Simulated seconds in one.
        pass_seconds: Simulated seconds between two passes.
        sessions, people, seed: Of the plan.
        scale: Factor of the tables' rows, of the judged part.
        clients: Who ask at the same time, at most.
        arms: Which ones; all by default.
    """

    hours: int = 33
    minutes: int = 45
    speed: float = 30.0
    pass_seconds: float = 120.0
    sessions: int = 150
    people: int = 40
    seed: int = 7
    scale: float = 30.0
    clients: int = 8
    arms: tuple[str, ...] = ()
