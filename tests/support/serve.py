"""A ClickHouse server to try things on: `python -m tests.support.serve`, until it is interrupted.

The same as the tests start, with Treehouse installed, in a temporary folder:

    .venv/bin/python -m tests.support.serve &
    export CLICKHOUSE_URL=http://...             # as it prints
    .venv/bin/python -m treehouse --target server demo
    .venv/bin/python -m treehouse --target server bench latency
"""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

from tests.support.server import running_server


def main() -> None:
    """Start, say where, wait for an interrupt, stop."""
    environment = {name: value for name, value in os.environ.items() if name != "CLICKHOUSE_URL"}
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, signal.default_int_handler)
    with (
        tempfile.TemporaryDirectory(prefix="treehouse-server-") as folder,
        running_server(Path(folder), environment=environment) as server,
    ):
        print(f"export CLICKHOUSE_URL={server.url}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print(f"stopped {server.origin}")


if __name__ == "__main__":
    main()
