"""The global random generators, which Stable-Baselines3 seeds and draws from."""

import random
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def generators_kept() -> Generator[None]:
    """Those of Python, numpy and torch are afterwards as they were before."""
    python, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)  # noqa: NPY002
