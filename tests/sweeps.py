"""Short sweeps of the smallest task."""

from collections.abc import Callable
from pathlib import Path

import slide as slide  # registers its environment

from gradgym import train
from gradgym.agents.launchers.launcher import Job
from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.evaluation import read_evaluations

OWN = ["n_envs:4", "eval_freq:40", "eval_episodes:2", "checkpoint_freq:40", "policy_kwargs.net_arch:[8]"]
COMMAND = ["--algo", "bptt", "--env", "Slide-v0", "--total-timesteps", "240", "--hyperparams", *OWN]
RETURNS = ("timesteps", "mean", "std")


def config(seed: int, *changes: str) -> RunConfig:
    found = train.configuration([*COMMAND, *changes, "--seed", str(seed)])
    assert isinstance(found, RunConfig)
    return found


def returns(run_dir: Path) -> list[tuple[float, ...]]:
    """The evaluations of a run, without what no two runs have in common."""
    return [tuple(e[name] for name in RETURNS) for e in read_evaluations(run_dir)]


class InThisProcess:
    """Runs a job when it is started; `before`, which is told its number, may kill it by saying how it ended."""

    def __init__(self, before: Callable[[int], str] = lambda number: "") -> None:
        self.before, self.started, self.finished = before, list[int](), False
        self.over: dict[int, str] = {}

    def start(self, number: int, job: Job) -> None:
        self.started.append(number)
        how = self.before(number)
        if not how:
            job()
        self.over[number] = how

    def ended(self, timeout: float | None = None) -> dict[int, str]:
        found, self.over = self.over, {}
        return found

    def finish(self) -> None:
        self.finished = True
