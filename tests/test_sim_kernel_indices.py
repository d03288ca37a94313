"""Kernels have no negative index, which GPU code would take for a place before the array."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
_NAMES = "Ant", "Laikago", "hand with cube", "muscles", "factory"


def test_no_kernel_counts_from_the_end_of_an_array() -> None:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, str(TESTS / "index_watch.py"), *_NAMES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *found, contacts = done.stdout.splitlines()
    assert found == []
    assert int(contacts) >= 30  # all touch the ground, and some themselves
