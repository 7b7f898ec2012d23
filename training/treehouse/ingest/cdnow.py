"""A real purchase log: CDNOW, 1997-01-01 to 1998-06-30, as the package `lifetimes` carries it.

69,659 purchases of 23,570 customers who first bought in early 1997. Fader and Hardie (2001),
"Forecasting Repeat Sales at CDNOW: A Case Study".
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from clickhouse_connect.driver.client import Client

from treehouse.ingest.layout import Progress
from treehouse.ingest.load import LoadReport, load
from treehouse.ingest.reading import Reading
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings

ROWS = 69_659
_READING = Reading(
    format="words", columns={"quantity": "number_of_cds", "amount_usd": "dollar_value"}
)


def find_cdnow() -> Path:
    """The file, found without importing the package, which needs old dependencies.

    Raises:
        TreehouseError: The package is not installed.
    """
    spec = find_spec("lifetimes")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        path = Path(folder) / "datasets" / "CDNOW_master.txt"
        if path.is_file():
            return path
    raise TreehouseError(
        "The real purchase log is not there.",
        value="no package `lifetimes` with datasets/CDNOW_master.txt",
        fix="pip install 'treehouse[demo]'",
    )


def load_cdnow(
    client: Client, settings: Settings, *, progress: Progress | None = None
) -> LoadReport:
    """Load the log into `purchases`; a second time drops every row as a duplicate.

    Raises:
        TreehouseError: The package is not installed.
    """
    path = str(find_cdnow())
    return load(client, settings, "purchases", path, progress=progress, reading=_READING)
