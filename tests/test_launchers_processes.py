"""Jobs in processes of their own: how they end, what reaches them, and that they end with their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
from jobs import fail, wait_long, write

from gradgym.agents.launchers.processes import ProcessLauncher


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def all_ended(launcher: ProcessLauncher) -> dict[int, str]:
    found: dict[int, str] = {}
    while launcher.running:
        ended = launcher.ended()
        assert ended  # without a timeout it waits for one
        found |= ended
    return found


def test_it_tells_how_jobs_have_ended(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    launcher = ProcessLauncher()
    launcher.start(7, partial(write, tmp_path / "7"))
    launcher.start(8, partial(fail, tmp_path / "8"))
    launcher.start(9, partial(wait_long, tmp_path / "9"))
    until((tmp_path / "9").exists)
    assert launcher.running[9].pid is not None
    os.kill(launcher.running[9].pid, signal.SIGKILL)
    assert all_ended(launcher) == {7: "", 8: "exit code 1", 9: "killed by SIGKILL"}
    assert "ValueError: no" in capfd.readouterr().err
    assert int((tmp_path / "7").read_text()) != os.getpid()


def test_it_waits_no_longer_than_told_and_passes_an_interrupt_on(tmp_path: Path) -> None:
    launcher = ProcessLauncher()
    launcher.start(0, partial(wait_long, tmp_path / "0"))
    until((tmp_path / "0").exists)
    assert launcher.ended(0.05) == {} and list(launcher.running) == [0]
    assert launcher.running[0].pid is not None
    assert os.getpgid(launcher.running[0].pid) != os.getpgid(0)  # the terminal's Ctrl-C does not reach it
    launcher.finish()
    assert (tmp_path / "0").read_text() == "interrupted" and launcher.ended() == {0: "exit code 130"}


def test_jobs_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys; from functools import partial; from pathlib import Path\n"
        "from jobs import wait_long\n"
        "from gradgym.agents.launchers.processes import ProcessLauncher\n"
        "if __name__ == '__main__':\n"
        "    launcher = ProcessLauncher()\n"
        "    launcher.start(0, partial(wait_long, Path(sys.argv[1])))\n"
        "    launcher.ended()\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    child = subprocess.Popen([sys.executable, str(script), str(tmp_path / "0")], env={**os.environ, "PYTHONPATH": path})
    until(lambda: (tmp_path / "0").exists() and (tmp_path / "0").read_text() != "")
    job = psutil.Process(int((tmp_path / "0").read_text()))
    child.kill()
    child.wait()
    psutil.wait_procs([job], timeout=60)
    assert not job.is_running()
    assert (tmp_path / "0").read_text() != "interrupted"
