"""One process for a folder at a time."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path, name: str) -> Generator[None]:
    """Inside, no other process is; `name` is what the folder holds.

    ValueError: another one is.
    """
    with (folder / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # freed with the process, however it ends
        except BlockingIOError:
            raise ValueError(f"{folder}: another process runs this {name}, wait for it or end it") from None
        yield
