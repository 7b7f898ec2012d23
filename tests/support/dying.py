"""Code that ends in the middle, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from treehouse.project.settings import ROOT


def dies(code: str, target: str, home: Path) -> str:
    """What Python code writes to stdout until it kills its own process."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"TREEHOUSE_HOME": str(home), "TREEHOUSE_TARGET": target},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout
