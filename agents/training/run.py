"""Run folders: what a training writes, and how it is built from its configuration or resumed.

config.yaml            the resolved configuration
checkpoint.pkl         from which the run goes on
best_model.zip         the model with the best evaluation, by SB3's `save`
final_model.zip        the last one
evaluations.jsonl      every evaluation, and how long the training had taken, evaluations left out
events.out.tfevents.*  TensorBoard
"""

import os
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import yaml
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor

from .. import ALGORITHMS
from ..mbpo.mbpo import MBPO
from ..policy_gradient.analytic import AnalyticPolicyGradient
from .checkpoint import CheckpointCallback, load_checkpoint
from .clock import TimeLimitCallback, TrainingClock
from .configuration import constructor_arguments
from .evaluation import EvaluationCallback
from .native_vec_env import native

_COUNTS = ("total_timesteps", "eval_freq", "eval_episodes", "checkpoint_freq")
_TIMES = ("max_minutes", "eval_seconds")
_VERSIONED = ("gradgym", "gymnasium", "mujoco", "numba", "numpy", "stable-baselines3", "torch")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _VERSIONED}}


def machine() -> dict[str, str | int | None]:
    """What results were measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    return {"processor": name, "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"}


@dataclass
class RunConfig:
    """All that determines a training.

    Args:
        algo, env, seed, enhancement: as on the command line.
        total_timesteps: environment steps of the training.
        eval_freq: steps between evaluations.
        eval_episodes: of each evaluation.
        checkpoint_freq: steps between checkpoints.
        max_minutes: wall-clock of training, evaluations left out, after which it ends sooner.
        eval_seconds: seconds of training between evaluations, in place of `eval_freq`.
        env_kwargs: arguments of the environment.
        train_env_kwargs: further ones, or others, for the training alone; evaluations do not see them.
        hyperparams: arguments of the algorithm; for PPO also `n_envs`.
    """

    algo: str
    env: str
    seed: int
    total_timesteps: int
    eval_freq: int
    eval_episodes: int
    checkpoint_freq: int
    enhancement: str | None = None
    max_minutes: float | None = None
    eval_seconds: float | None = None
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    train_env_kwargs: dict[str, Any] = field(default_factory=dict)
    hyperparams: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_settings(cls, settings: dict[str, Any], **kwargs: Any) -> "RunConfig":
        """Splits the run's own settings from the constructor's arguments."""
        own = {name: settings.pop(name) for name in _COUNTS}
        for name, value in own.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r}: must be a positive integer")
        times = {name: settings.pop(name, None) for name in _TIMES}
        for name, value in times.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
                raise ValueError(f"{name}={value!r}: must be a positive number, or null")
        further = settings.pop("train_env_kwargs", {})
        if not isinstance(further, dict):
            raise ValueError(f"train_env_kwargs={further!r}: write single ones as train_env_kwargs.key:value")
        return cls(hyperparams=settings, train_env_kwargs=further, **own, **times, **kwargs)

    def write(self, run_dir: Path) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump({**asdict(self), "versions": versions()}, sort_keys=False)
        (run_dir / "config.yaml").write_text(text)

    @classmethod
    def read(cls, run_dir: Path) -> "RunConfig":
        path = run_dir / "config.yaml"
        if not path.exists():
            raise ValueError(f"{run_dir}: no run folder, config.yaml is missing")
        content = yaml.safe_load(path.read_text())
        content.pop("versions")
        return cls(**content)

    def make_env(self, **kwargs: Any) -> gymnasium.Env[Any, Any]:
        """The environment of this run, with changed or further arguments."""
        return gymnasium.make(self.env, **{**self.env_kwargs, **kwargs})


class Run:
    """A training in a folder; new, or continued from its checkpoint if there is one."""

    def __init__(self, config: RunConfig, run_dir: Path) -> None:
        self.config, self.run_dir = config, run_dir
        path = run_dir / "checkpoint.pkl"
        spent = 0.0
        if path.exists():
            self.algorithm, spent = load_checkpoint(path)
        else:
            self.algorithm = _new_algorithm(config)
        self.algorithm.set_logger(configure(str(run_dir), ["tensorboard"]))
        self.eval_env = config.make_env()
        self.clock = TrainingClock(spent)
        self.evaluation = EvaluationCallback(
            self.eval_env,
            run_dir,
            self.clock,
            config.eval_freq,
            config.eval_episodes,
            seed=config.seed + 10_000,
            period=config.eval_seconds,
        )
        self.time_limit = TimeLimitCallback(self.clock, None if config.max_minutes is None else 60 * config.max_minutes)
        # Evaluated before it is saved: a resumed run finds the evaluations of its checkpoint in the file.
        checkpoints = CheckpointCallback(path, config.checkpoint_freq, self.clock)
        self.callback = CallbackList([self.evaluation, checkpoints, self.time_limit])

    @property
    def max_return(self) -> float | None:
        """The greatest possible return, where the environment knows it."""
        return getattr(self.eval_env.unwrapped, "max_return", None)

    def train(self, *callbacks: BaseCallback) -> None:
        """Trains up to the configured number of steps, or minutes."""
        left = self.config.total_timesteps - self.algorithm.num_timesteps
        if left > 0 and not self.time_limit.reached:
            callback = CallbackList([self.callback, *callbacks])
            with self.clock.running():
                self.algorithm.learn(left, callback=callback, reset_num_timesteps=self.algorithm.num_timesteps == 0)
        self.algorithm.save(self.run_dir / "final_model.zip")


def _new_algorithm(config: RunConfig) -> BaseAlgorithm:
    cls = ALGORITHMS[config.algo]
    arguments = constructor_arguments(config.hyperparams)
    env_kwargs = dict(config.train_env_kwargs)
    if cls is MBPO:
        arguments["enhancement"] = config.enhancement
        needed = MBPO.required_gradients(config.enhancement, arguments.get("gradient_horizon", "step"))
        env_kwargs |= {} if needed is None else {"gradients": needed}
    elif config.enhancement is not None:
        raise ValueError(f"--enhancement {config.enhancement}: --algo {config.algo} has none, use mbpo")
    env: Any = config.make_env(**env_kwargs)
    n_envs = arguments.pop("n_envs", 1) if cls is PPO else 1
    if n_envs != 1:
        env = native(env, n_envs)
    elif not issubclass(cls, AnalyticPolicyGradient):
        env = Monitor(env)
    policy = arguments.pop("policy", "MlpPolicy")
    return cls(policy, env, seed=config.seed, **arguments)


def load_best(run_dir: Path) -> BaseAlgorithm:
    """The best model of a run, for `predict`."""
    path = run_dir / "best_model.zip"
    if not path.exists():
        raise ValueError(f"{run_dir}: best_model.zip is missing, the run was never evaluated")
    return ALGORITHMS[RunConfig.read(run_dir).algo].load(path, device="cpu")
