"""A process of this machine for each job."""

import multiprocessing
import os
import signal
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from .launcher import Job


class ProcessLauncher:
    """A new process for each job, which the terminal's Ctrl-C does not reach, only what this one passes on."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("spawn")  # threads of torch and numba do not bear a fork
        self.running: dict[int, BaseProcess] = {}

    def start(self, number: int, job: Job) -> None:
        process = self.context.Process(target=_run, args=(job,), daemon=True)
        process.start()
        self.running[number] = process

    def ended(self, timeout: float | None = None) -> dict[int, str]:
        over = wait([process.sentinel for process in self.running.values()], timeout)
        found: dict[int, str] = {}
        for number, process in list(self.running.items()):
            if process.sentinel in over:
                process.join()  # it tells of its end a moment before
                found[number] = _how(process.exitcode or 0)
                self.running.pop(number).close()
        return found

    def finish(self) -> None:
        for process in self.running.values():
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGINT)
        for process in self.running.values():
            process.join()


def _how(code: int) -> str:
    if code == 0:
        return ""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _run(job: Job) -> None:
    """The job in a process with a group of its own, which ends with the one that started it, however that ends."""

    def wait_for_parent() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell starts in the background
    threading.Thread(target=wait_for_parent, daemon=True).start()
    try:
        job()
    except KeyboardInterrupt:
        os._exit(130)
