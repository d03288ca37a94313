"""Where trials run: in processes of this machine, or as tasks of a Ray cluster."""

import multiprocessing
import os
import signal
import socket
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from .trial import TrialOrder, run_trial, run_trial_of_parent


class Launcher(Protocol):
    """Runs trials beside each other; that one has ended says nothing of how."""

    def start(self, order: TrialOrder) -> None: ...

    def ended(self) -> list[int]:
        """The numbers of trials that have ended since the last call; waits for one."""
        ...

    def finish(self) -> None:
        """Interrupts those that run, and waits for their checkpoints."""
        ...


class ProcessLauncher:
    """A new process for each trial, which the terminal's Ctrl-C does not reach, only what this one passes on."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("spawn")  # threads of torch and numba do not bear a fork
        self.running: dict[int, BaseProcess] = {}

    def start(self, order: TrialOrder) -> None:
        process = self.context.Process(target=run_trial_of_parent, args=(order,), daemon=True)
        process.start()
        self.running[order.number] = process

    def ended(self) -> list[int]:
        wait([process.sentinel for process in self.running.values()])
        found = [number for number, process in self.running.items() if process.exitcode is not None]
        for number in found:
            self.running.pop(number).close()
        return found

    def finish(self) -> None:
        for process in self.running.values():
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGINT)
        for process in self.running.values():
            process.join()


class RayLauncher:
    """A Ray task for each trial, one processor each.

    Every node needs gradgym as this one has it, and the study's folder and storage under the same path.

    Args:
        address: of the cluster, as `ray.init` takes it.
        path: of modules, for all nodes.

    Raises:
        ValueError: no cluster answers there.
    """

    def __init__(self, address: str, path: str) -> None:
        import ray

        self.ray = ray
        try:
            _check_reachable(address)
            ray.init(address=address, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": path}})
        except (OSError, ValueError) as error:
            raise ValueError(f"--ray-address {address}: {str(error).splitlines()[0]}") from error
        self.task = ray.remote(num_cpus=1, max_retries=0)(run_trial)
        self.running: dict[Any, int] = {}

    def start(self, order: TrialOrder) -> None:
        self.running[self.task.remote(order)] = order.number

    def ended(self) -> list[int]:
        ready, _ = self.ray.wait(list(self.running), num_returns=1)
        return [self.running.pop(reference) for reference in ready]

    def finish(self) -> None:
        for reference in self.running:
            self.ray.cancel(reference)  # KeyboardInterrupt in the task
        if self.running:
            self.ray.wait(list(self.running), num_returns=len(self.running), timeout=60)


def _check_reachable(address: str) -> None:
    """OSError in ten seconds where Ray would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=10).close()
