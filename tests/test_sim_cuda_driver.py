"""What is asked of CUDA's driver, with a stand-in for it."""

import ctypes
import enum
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gradgym.sim.cuda import driver
from gradgym.sim.cuda.driver import Driver

DEVICE = torch.device("cuda", 1)


class _Status(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_LAUNCH_FAILED = 719


class _Bindings:
    """Keeps what it is asked for."""

    def __init__(self) -> None:
        self.status = _Status.CUDA_SUCCESS
        self.loaded: list[bytes] = []
        self.launched: list[Any] = []

    def CUstream(self, handle: int) -> tuple[str, int]:
        return "stream", handle

    def cuModuleLoadData(self, image: int) -> tuple[_Status, str]:
        self.loaded.append(ctypes.string_at(image, 4))
        return self.status, "module"

    def cuModuleGetFunction(self, module: str, name: bytes) -> tuple[_Status, str]:
        return self.status, f"{name.decode()} of {module}"

    def cuLaunchKernel(self, *given: Any) -> tuple[_Status]:
        kernel, *shape, shared, stream, places, extra = given
        pointers = (ctypes.c_void_p * 3).from_address(places)
        values = [ctypes.c_int64.from_address(pointer or 0).value for pointer in pointers]
        self.launched.append((kernel, shape, shared, stream, values, extra))
        return (self.status,)


@pytest.fixture
def bindings(monkeypatch: pytest.MonkeyPatch) -> _Bindings:
    made = _Bindings()
    monkeypatch.setattr(driver, "cuda_bindings", lambda _: made)
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=40 + device.index))
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    return made


def test_a_kernel_runs_on_the_current_stream_with_pointers_to_its_arguments(bindings: _Bindings) -> None:
    Driver().launch(DEVICE, "kernel", 7, 32, [5, -1, 2**62])
    assert bindings.launched == [("kernel", [7, 1, 1, 32, 1, 1], 0, ("stream", 41), [5, -1, 2**62], 0)]


def test_a_module_is_loaded_from_the_bytes_of_its_code(bindings: _Bindings) -> None:
    assert Driver().load(DEVICE, b"\x7fELF and more", "rollout") == "rollout of module"
    assert bindings.loaded == [b"\x7fELF"]


def test_an_error_of_the_driver_is_named(bindings: _Bindings) -> None:
    bindings.status = _Status.CUDA_ERROR_LAUNCH_FAILED
    with pytest.raises(RuntimeError, match="CUDA: CUDA_ERROR_LAUNCH_FAILED"):
        Driver().launch(DEVICE, "kernel", 1, 32, np.arange(3).tolist())
