"""What starts jobs beside each other, and the loop over so many of them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

Job = partial[Any]
"""A function of a module with its arguments: what it returns is dropped, results are in files."""


class Launcher(Protocol):
    """Runs jobs beside each other."""

    def start(self, number: int, job: Job) -> None: ...

    def ended(self, timeout: float | None = None) -> dict[int, str]:
        """The numbers of jobs that have ended since the last call, with a line of how, empty where they returned.

        Waits for one, or `timeout` seconds.
        """
        ...

    def finish(self) -> None:
        """Interrupts those that run, and waits for their checkpoints."""
        ...


def run_jobs(
    jobs: Mapping[int, Job],
    launcher: Launcher,
    at_once: int | None,
    again: Callable[[int, str], bool],
    watch: Callable[[], None],
    seconds: float = 5.0,
) -> None:
    """Runs jobs to their end, in their order.

    Args:
        jobs: by number.
        launcher: of them.
        at_once: how many; None for all.
        again: is told the number of a job that has ended, and how; whether to start it once more.
        watch: called before the first job, after each one's end, and now and then.
        seconds: between those.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the jobs were interrupted too.
    """
    waiting, running = list(jobs), set[int]()
    try:
        watch()
        while waiting or running:
            while waiting and (at_once is None or len(running) < at_once):
                number = waiting.pop(0)
                launcher.start(number, jobs[number])
                running.add(number)
            for number, how in launcher.ended(seconds).items():
                running.remove(number)
                if again(number, how):
                    waiting.insert(0, number)
            watch()
    except BaseException:
        launcher.finish()
        raise


def one_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
