"""How long a run has trained, and the end of a training by wall-clock."""

from collections.abc import Generator
from contextlib import contextmanager
from time import perf_counter

from stable_baselines3.common.callbacks import BaseCallback


class TrainingClock:
    """Wall-clock seconds of training; what a run spent before it was resumed counts, evaluations do not.

    Args:
        spent: seconds of training before this process.
    """

    def __init__(self, spent: float = 0.0) -> None:
        self._spent = spent
        self._started: float | None = None

    @property
    def seconds(self) -> float:
        running = 0.0 if self._started is None else perf_counter() - self._started
        return self._spent + running

    @contextmanager
    def running(self) -> Generator[None]:
        """Counts what happens inside."""
        self._started = perf_counter()
        try:
            yield
        finally:
            self._stop()

    @contextmanager
    def paused(self) -> Generator[None]:
        """Leaves out what happens inside, if the clock runs at all."""
        was_running = self._started is not None
        self._stop()
        try:
            yield
        finally:
            if was_running:
                self._started = perf_counter()

    def _stop(self) -> None:
        self._spent, self._started = self.seconds, None


class TimeLimitCallback(BaseCallback):
    """Ends the training at so many seconds of the clock; None for never."""

    def __init__(self, clock: TrainingClock, limit: float | None) -> None:
        super().__init__()
        self.clock, self.limit = clock, limit

    @property
    def reached(self) -> bool:
        return self.limit is not None and self.clock.seconds >= self.limit

    def _on_step(self) -> bool:
        return not self.reached
