"""Sides of a comparison, each in a process of its own that answers questions over a pipe.

So no side disturbs another's memory or threads, a rival may need its own interpreter, and blocks
of measurement alternate: the parent asks one side after the other. A side is a script that ends in
`serve(...)`, begins with `from sides import serve`, and may import anything; one that cannot be
imported is `missing`, with the reason.

    side = Side("mjx")                      # starts benchmarks/rivals/mjx.py
    if side.missing is None:
        answer = side.ask("steps", model="laikago", count=50)   # its function `steps`
"""

import contextlib
import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

_RIVALS = Path(__file__).parent / "rivals"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "GRADGYM_NUM_THREADS"), "1")


class SideError(RuntimeError):
    """A side's function raised, or its process ended; the message is the side's own."""


class Side:
    """A running side.

    Args:
        name: of its script in `benchmarks/rivals/`.
        python: interpreter, where the side cannot live in ours. By default that of the variable
            `<NAME>_PYTHON`, if set, else ours.
        package: folder from which the side imports first, say another version of what we measure.

    Attributes:
        missing: None, or why this side cannot be measured here.
    """

    def __init__(self, name: str, python: str | None = None, package: str | None = None) -> None:
        self.name = name
        python = python or os.environ.get(f"{name.upper()}_PYTHON") or sys.executable
        self.missing: str | None = None
        self._process: subprocess.Popen[str] | None = None
        try:
            self._process = subprocess.Popen(
                [python, str(_RIVALS / f"{name}.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **_ONE_THREAD, "PYTHONPATH": _python_path(package)},
            )
            self._read()
        except (SideError, OSError) as error:
            self.missing = str(error)

    def ask(self, function: str, **arguments: Any) -> Any:
        """What the side's `function` returns; SideError with its message where it raises."""
        if self.missing is not None:
            raise SideError(f"{self.name} is missing: {self.missing}")
        process = self._process
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(json.dumps({"function": function, "arguments": arguments}) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise SideError(f"{self.name} ended with code {process.wait()}") from None
        return self._read()

    def _read(self) -> Any:
        process = self._process
        assert process is not None and process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SideError(f"{self.name} ended with code {process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise SideError(answer["error"])
        return answer["value"]

    def close(self) -> None:
        process = self._process
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # a question that a dead side did not read
            process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _python_path(package: str | None) -> str:
    """With this folder, so that a side finds `sides` wherever its interpreter lives."""
    return os.pathsep.join(filter(None, (str(Path(__file__).parent), package, os.environ.get("PYTHONPATH"))))


def serve(prepare: Callable[[], Mapping[str, Callable[..., Any]]]) -> None:
    """Answer questions until the pipe closes. `prepare` imports what the side needs, and gives its functions."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer

    def answer(make: Callable[[], Any]) -> bool:
        done = False
        try:
            content = json.dumps({"value": make()})
            done = True
        except Exception as error:  # whatever it is, the parent hears of it
            content = json.dumps({"error": f"{type(error).__name__}: {error}".splitlines()[0]})
        answers.write(content + "\n")
        answers.flush()
        return done

    functions: dict[str, Callable[..., Any]] = {}
    if not answer(lambda: functions.update(prepare())):
        return

    def reply(function: str, arguments: dict[str, Any]) -> Any:
        if function not in functions:
            raise LookupError(f"no function {function!r}, only {', '.join(functions)}")
        return functions[function](**arguments)

    for line in sys.stdin:
        question = json.loads(line)
        answer(lambda q=question: reply(**q))


def processor_seconds(run: Callable[[], Any], at_least: float = 0.02) -> float:
    """Processor time of one `run`, of all threads; it is repeated until `at_least` seconds have passed."""
    count, begin = 0, time.process_time()
    while count == 0 or time.process_time() - begin < at_least:
        run()
        count += 1
    return (time.process_time() - begin) / count


def peak_growth(run: Callable[[], Any]) -> float:
    """By how much `run` raises the peak of the process's resident memory over that before [10^6 bytes]; Linux."""
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # what was freed before must not serve this run
    status = Path("/proc/self/status")
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM to VmRSS

    def megabytes(name: str) -> float:
        lines = status.read_text().splitlines()
        return next(1.024e-3 * float(line.split()[1]) for line in lines if line.startswith(name))

    before = megabytes("VmRSS")
    result = run()  # alive until the peak is read
    peak = megabytes("VmHWM")
    del result
    return max(0.0, peak - before)
