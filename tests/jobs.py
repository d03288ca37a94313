"""Jobs for launchers: they end in various ways."""

import os
import time
from pathlib import Path


def write(path: Path) -> None:
    path.write_text(str(os.getpid()))


def fail(path: Path) -> None:
    raise ValueError("no")


def wait_long(path: Path) -> None:
    """Until it is interrupted, which it writes down."""
    try:
        write(path)
        time.sleep(200)
    except KeyboardInterrupt:
        path.write_text("interrupted")
        raise
