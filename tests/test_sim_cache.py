"""The folder of what is compiled: one that cannot be written to, a full disk, damaged files."""

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
import pytest

from gradgym.sim.kernels import cache
from gradgym.sim.kernels.cache import cache_folder, keep

MAKE = "from gradgym import sim; sim.Model.from_xml_string('<mujoco/>')"


def kept(folder: Path) -> Any:
    """A function that is kept in `folder`, as a new process would have it."""

    def twice(x: float) -> float:
        return 2.0 * x

    made: Any = numba.njit(twice)
    keep(made, str(folder))
    return made


def loaded(function: Any) -> bool:
    """Whether it gives what it should, and was not compiled for it."""
    assert function(3.0) == 6.0
    return bool(function.stats.cache_hits)


@contextmanager
def no_larger_files_than(size: int) -> Generator[None]:
    """In place of a full disk: the end of a file is refused."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(autouse=True)
def _say_again() -> None:
    cache._say.cache_clear()
    cache._temporary.cache_clear()


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **environment}, capture_output=True, text=True
    )


def test_a_named_folder_that_cannot_be_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for named in (tmp_path / "file", tmp_path / "file" / "below"):
        done = run("-c", MAKE, GRADGYM_CACHE_DIR=str(named))
        line = f"GRADGYM_CACHE_DIR={named}: not a directory; name a folder that can be written to, or unset it"
        assert done.stderr.splitlines()[-1] == f"OSError: {line}"
    command = ["-m", "gradgym.train", "--total-timesteps", "1", "--run-dir", str(tmp_path / "run")]
    done = run(*command, GRADGYM_CACHE_DIR=str(tmp_path / "file"))
    assert done.returncode == 2 and done.stderr.startswith("gradgym-train: error: GRADGYM_CACHE_DIR=")
    assert done.stderr.count("\n") == 1


def test_a_folder_without_the_right_to_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADGYM_CACHE_DIR", str(tmp_path))
    assert cache_folder("kernels") == tmp_path / "kernels"
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OSError, match=f"GRADGYM_CACHE_DIR={tmp_path}: cannot be written to; name a folder"):
        cache_folder("kernels")


def test_in_place_of_the_users_own_there_is_a_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    monkeypatch.delenv("GRADGYM_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    folder = cache_folder("kernels")
    assert folder == cache_folder("kernels") and folder.is_dir() and folder.is_relative_to(tmp_path)
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith(f"gradgym: cache in {folder.parent}, since {tmp_path / 'file'}")
    # a folder of that name that somebody else has put there is not used
    cache._temporary.cache_clear()
    folder.rmdir()
    folder.parent.rmdir()
    folder.parent.symlink_to(tmp_path / "other")
    assert cache_folder("kernels").parent != folder.parent and not list((tmp_path / "other").iterdir())


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = kept(tmp_path)
    assert not loaded(one) and loaded(kept(tmp_path))
    (data,) = tmp_path.rglob("*.nbc")
    old = data.read_bytes()
    for index in tmp_path.rglob("*.nbi"):  # as if the source were another one: the old data is still there
        index.unlink()
    with no_larger_files_than(2000):
        assert not loaded(kept(tmp_path)) and not loaded(kept(tmp_path))
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "gradgym: kernels are not kept: " in said
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".nbc"] and data.read_bytes() == old
    assert not loaded(kept(tmp_path)), "what stands there is not what should have been written"
    assert loaded(kept(tmp_path))


@pytest.mark.parametrize("part", [0.0, 0.5])
@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_a_damaged_file_is_made_again(suffix: str, part: float, tmp_path: Path) -> None:
    kept(tmp_path)(1.0)
    (path,) = tmp_path.rglob(f"*.{suffix}")
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    assert not loaded(kept(tmp_path))
    assert loaded(kept(tmp_path))
