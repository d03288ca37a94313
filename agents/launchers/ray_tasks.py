"""A task of a Ray cluster for each job."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .launcher import Job, one_line


class RayLauncher:
    """A Ray task for each job, one processor each, in a process of its own; those for which none is free wait.

    Every node needs gradgym as this one has it, and the folders of the jobs under the same path.

    Args:
        address: of the cluster, as `ray.init` takes it.
        gpu: whether each job takes a GPU.
        modules: folders of modules that jobs import, beside the working folder and PYTHONPATH.

    Raises:
        ValueError: Ray is not installed, or no cluster answers there.
    """

    def __init__(self, address: str, gpu: bool = False, modules: Sequence[Path] = ()) -> None:
        try:
            import ray
        except ImportError as error:
            raise ValueError(f"--ray-address: {error}: pip install 'gradgym[ray]'") from error
        self.ray = ray
        try:
            _check_reachable(address)
            ray.init(address=address, log_to_driver=False, runtime_env={"env_vars": _environment(modules)})
        except (OSError, ValueError) as error:
            raise ValueError(f"--ray-address {address}: {str(error).splitlines()[0]}") from error
        # A process for one job alone: what the one before left in a process (random numbers, memory) is not there.
        self.task = ray.remote(num_cpus=1, num_gpus=int(gpu), max_retries=0, max_calls=1)(_run)
        self.running: dict[Any, int] = {}

    def start(self, number: int, job: Job) -> None:
        self.running[self.task.remote(job)] = number

    def ended(self, timeout: float | None = None) -> dict[int, str]:
        ready, _ = self.ray.wait(list(self.running), num_returns=1, timeout=timeout)
        return {self.running.pop(reference): self._how(reference) for reference in ready}

    def _how(self, reference: Any) -> str:
        try:
            self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:  # the job's own, which it wraps
            return one_line(error.cause)
        except self.ray.exceptions.RayError as error:
            return one_line(error)
        return ""

    def finish(self) -> None:
        for reference in self.running:
            self.ray.cancel(reference)  # KeyboardInterrupt in the task
        if self.running:
            self.ray.wait(list(self.running), num_returns=len(self.running), timeout=60)


def _run(job: Job) -> None:
    job()


def _environment(modules: Sequence[Path]) -> dict[str, str]:
    """Of the tasks: where modules are, and as many threads as a task has processors."""
    path = [str(Path.cwd()), *map(str, modules), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = os.environ.get("GRADGYM_NUM_THREADS", "1")
    return {"PYTHONPATH": os.pathsep.join(path), "GRADGYM_NUM_THREADS": threads}


def _check_reachable(address: str) -> None:
    """OSError in ten seconds where Ray would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=10).close()
