"""Where a study is kept, so that processes share it and one that was killed leaves it whole."""

from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend


def open_storage(where: str) -> BaseStorage:
    """Optuna's journal in a file, or a data base for a URL such as `sqlite:///study.db`.

    ValueError: it cannot be opened.
    """
    try:
        if "://" in where:
            return RDBStorage(where)
        Path(where).absolute().parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(where))
    except Exception as error:  # what data bases raise is their own
        raise ValueError(f"--storage {where}: {str(error).splitlines()[0]}") from error


def quiet() -> None:
    """Optuna says nothing of each trial: there is a progress bar."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
