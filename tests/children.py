"""Training commands in processes of their own, to be killed or interrupted."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil


def started(command: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gradgym.train", *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for_a_checkpoint(child: subprocess.Popen[str], run_dir: Path) -> None:
    deadline = time.monotonic() + 300
    while not (run_dir / "checkpoint.pkl").exists() and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.01)


def only_job(child: subprocess.Popen[str]) -> psutil.Process:
    """That of the one job of its launcher."""
    found = [one for one in psutil.Process(child.pid).children() if "spawn_main" in " ".join(one.cmdline())]
    (process,) = found
    return process
