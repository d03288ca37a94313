"""What is said while kernels compile: of kernels alone, and once a process where no terminal can be written over."""

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from gradgym.sim.kernels import jit

MESSAGE = "gradgym: compiling what is new in this kind of model, once"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def compile_two(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> str:
    """What is written while a kernel and one that it calls compile, between functions of others."""
    monkeypatch.setattr(sys, "stderr", stream)
    kernels = [SimpleNamespace(py_func=compile_two) for _ in range(2)]
    monkeypatch.setattr(jit, "KERNELS", kernels)
    progress: Any = jit._CompileProgress()
    events = [SimpleNamespace(data={"dispatcher": one}) for one in ("foreign", *kernels)]
    for one in events:
        progress.on_start(one)
    for one in reversed(events):
        progress.on_end(one)
    return stream.getvalue()


def test_a_file_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compile_two(monkeypatch, io.StringIO()) == f"{MESSAGE} (half a minute and more)\n"


def test_a_terminal_sees_each_kernel_and_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = compile_two(monkeypatch, Terminal()).split("\r\x1b[K")
    assert shown[1:3] == [f"{MESSAGE}: kernel {k} (compile_two)" for k in (1, 2)]
    assert shown[3].startswith("gradgym: compiled 2 kernels in ")
