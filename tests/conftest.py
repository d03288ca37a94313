"""Settings of every test: one import name for the package, one torch thread, the same random numbers."""

import os
import signal
from collections.abc import Generator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

import gradgym as gradgym  # registers the environments, whichever test file runs alone

ROOT = Path(__file__).parent.parent

torch.set_num_threads(1)  # small tensors are faster, and sums do not depend on the machine


class RootIsNoTestPackage:
    """pytest would import the root's `__init__.py` again, under the name of the clone's folder."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        return pytest.Dir.from_parent(parent, path=path) if path == ROOT else None


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """A test that draws from torch's global generator draws the same each time, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture
def python_handler() -> Generator[None]:
    """Ctrl-C raises KeyboardInterrupt, whatever started the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(RootIsNoTestPackage())
