"""Where what takes long to make is kept between processes: the folder, and what happens if it cannot be written.

`GRADGYM_CACHE_DIR` names the folder, else it is the user's cache. A folder that was named and cannot be
used is an error, which says so when it is first needed; one that nobody named is replaced by a temporary
one. A kernel that cannot be kept, or was kept in part by a machine that stopped, is compiled.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba.core import config
from numba.core.caching import FunctionCache


def cache_folder(subject: str) -> Path:
    """A subject's folder, made if need be; OSError, in one line, if it was named and cannot be written to."""
    named = os.environ.get("GRADGYM_CACHE_DIR")
    if named:
        folder = Path(named) / subject
        if fault := _fault(folder):
            raise OSError(f"GRADGYM_CACHE_DIR={named}: {fault}; name a folder that can be written to, or unset it")
        return folder
    base = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "gradgym"
    fault = _fault(base / subject) if base.is_absolute() else "no home folder"
    if not fault:
        return base / subject
    folder = _temporary(base, fault) / subject
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _fault(folder: Path) -> str:
    """Why a folder cannot be made or written to, empty if it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return "" if os.access(folder, os.W_OK | os.X_OK) else "cannot be written to"


@cache
def _temporary(instead_of: Path, fault: str) -> Path:
    """A folder of this user alone: others must not put there what is loaded as code."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"gradgym-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        mine = user == "user" or folder.lstat().st_uid == user
    except OSError:
        mine = False
    if not mine or folder.is_symlink():
        folder = Path(tempfile.mkdtemp(prefix="gradgym-"))
    _say(f"cache in {folder}, since {instead_of}: {fault}; GRADGYM_CACHE_DIR names another folder")
    return folder


@cache
def _say(line: str) -> None:
    """One line on stderr, once."""
    if sys.stderr is not None:
        sys.stderr.write(f"gradgym: {line}\n")


def keep(function: Any, folder: str) -> None:
    """Keep what is compiled of a Numba function in `folder`."""
    if not hasattr(function, "py_func"):  # NUMBA_DISABLE_JIT
        return
    settings: Any = config
    before, settings.CACHE_DIR = settings.CACHE_DIR, folder
    try:
        function._cache = _KernelCache(function.py_func)  # noqa: SLF001 (Numba's `cache=True` sets the same)
    except (OSError, RuntimeError) as error:  # RuntimeError: Numba found no place
        _say(f"kernels are not kept: {folder}: {error}")
    finally:
        settings.CACHE_DIR = before


def before_loading(function: Any, prepare: Callable[[], None]) -> None:
    """Have `prepare` called before what was kept of a function is loaded."""
    if isinstance(getattr(function, "_cache", None), _KernelCache):
        function._cache.prepare = prepare  # noqa: SLF001 (set by `keep`)


class _KernelCache(FunctionCache):
    """Numba's cache of one function, for which a full disk or a damaged file is no error."""

    prepare: Callable[[], None] | None = None

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        if self.prepare is not None:
            self.prepare()
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # what reading a damaged pickle raises may be anything
            self._forget()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            self._forget()
            _say(f"kernels are not kept: {self.cache_path}: {error.strerror}")

    def _forget(self) -> None:
        """Drop the index: it may name a file that was not written, in whose place an older one stands."""
        file: Any = self._cache_file
        Path(file._index_path).unlink(missing_ok=True)  # noqa: SLF001
