"""Ctrl-C in a training: the first one ends it where it can go on from, a second one at once."""

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Protocol


class Interruptible(Protocol):
    """Where `interrupted` is set, it writes a checkpoint as soon as it can, and raises KeyboardInterrupt."""

    interrupted: bool


@contextmanager
def interruptible(training: Interruptible) -> Generator[None]:
    """Inside, the first SIGINT asks for a checkpoint, after which KeyboardInterrupt is raised; the next raises it."""
    before = signal.getsignal(signal.SIGINT)
    # Only the main thread can set handlers; and what the shell starts in the background ignores the signal.
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def ask(*_: Any) -> None:
        signal.signal(signal.SIGINT, before)
        training.interrupted = True
        # Unbuffered: a signal may come amid another line.
        os.write(
            2, b"\nInterrupted: ends after this step of the training, with a checkpoint; Ctrl-C again ends at once\n"
        )

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
