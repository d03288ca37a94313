"""What a training calls is compiled before its clock and its progress bar start."""

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gain_search import CONFIG, GainSearch

from gradgym.agents import ALGORITHMS
from gradgym.agents.training import clock as clock_module
from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.evaluation import read_evaluations
from gradgym.agents.training.run import Run

HOPPER = "gradgym/Hopper-v0"
ENVS = {"relaxed_consistency": ("gradgym/CubeReorient-v0", {})}
SMALL: dict[str, dict[str, Any]] = {
    "shac": {"n_envs": 4, "horizon": 4},
    "bptt": {"n_envs": 2, "horizon": None, "line_search": 4},
    "ilqr": {"policy": "PathPolicy", "line_search": 4},
    "ppo": {"n_envs": 2, "n_steps": 8, "batch_size": 16},
    "mbpo": {"enhancement": "sample", "learning_starts": 8, "batch_size": 8, "model": False},
    "relaxed_consistency": {
        "policy": "ConsistencyPolicy",
        "batch_size": 4,
        "cg_iterations": 2,
        "policy_kwargs": {"relaxation": {"horizon": 3}},
    },
}


def small(algo: str, **changes: Any) -> RunConfig:
    settings: dict[str, Any] = {"total_timesteps": 24, "eval_freq": 12, "eval_episodes": 1, "checkpoint_freq": 1000}
    env, env_kwargs = ENVS.get(algo, (HOPPER, {"max_episode_steps": 6}))
    return RunConfig(algo, env, 0, **settings, env_kwargs=env_kwargs, hyperparams=SMALL[algo] | changes)


# Of every kernel, how many kinds of arguments it has been compiled, or loaded, for.
COMPILED = """
import sys
from pathlib import Path
from gradgym.agents.consistency import residual_kernels, rollout_kernels
from gradgym.sim.kernels.jit import KERNELS
from gradgym.agents.training.run import Run
from test_agents_rehearsal import small
RELAXED = [one for module in (residual_kernels, rollout_kernels) for one in vars(module).values()]
def compiled():
    known = [*KERNELS, *(one for one in RELAXED if hasattr(one, "signatures"))]
    return {kernel: len(kernel.signatures) for kernel in known if kernel.signatures}
run = Run(small(sys.argv[1]), Path(sys.argv[2]))
run._rehearse()
before = compiled()
run.train()
later = {kernel.__name__ for kernel, count in compiled().items() if count > before.get(kernel, 0)}
print(len(before), sorted(later))
"""


@pytest.mark.parametrize("algo", SMALL)
def test_a_training_compiles_nothing_after_its_rehearsal(algo: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", COMPILED, algo, str(tmp_path)]
    folder = Path(__file__).parent
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    count, _, later = done.stdout.strip().splitlines()[-1].partition(" ")
    assert int(count) > 0 and later == "[]"


@pytest.mark.parametrize("algo", SMALL)
def test_a_rehearsal_leaves_random_generators_alone(algo: str) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002 (SB3 draws from it)

    def seed() -> None:
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)

    seed()
    expected = draw()
    seed()
    ALGORITHMS[algo].rehearse(small(algo))
    assert draw() == expected


def test_the_clock_starts_after_the_rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def rehearse(config: RunConfig) -> None:
        now[0] += 100.0

    monkeypatch.setattr(clock_module, "perf_counter", lambda: now[0])
    monkeypatch.setitem(ALGORITHMS, "gain_search", GainSearch)
    monkeypatch.setattr(GainSearch, "rehearse", rehearse)
    run = Run(CONFIG, tmp_path)
    run.train()
    assert now[0] == 100.0 and run.clock.seconds == 0.0
    assert {e["seconds"] for e in read_evaluations(tmp_path)} == {0.0}
