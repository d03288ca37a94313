"""Returns of a deterministic policy, and the callback that follows them through a training."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from .algorithm import Policy
from .clock import TrainingClock
from .whole_file import written_beside


def rewards(policy: Policy, env: gymnasium.Env[Any, Any], seed: int) -> Iterator[float]:
    """Plays an episode of the deterministic policy that starts from a seed: 0 after the reset, then each step's reward.

    So the environment can be looked at in every state, and an episode be left.
    """
    obs, _ = env.reset(seed=seed)
    yield 0.0
    done, memory = False, None
    while not done:
        action, memory = policy.predict(obs, state=memory, deterministic=True)
        obs, reward, terminated, truncated, _ = env.step(action)
        done = terminated or truncated
        yield float(reward)


def evaluate_returns(policy: Policy, env: gymnasium.Env[Any, Any], episodes: int, seed: int) -> NDArray[np.float64]:
    """Undiscounted returns (episodes,) of the deterministic policy; episode k starts from seed + k."""
    return np.array([sum(rewards(policy, env, seed + k)) for k in range(episodes)])


def read_evaluations(run_dir: Path) -> list[dict[str, float]]:
    """The evaluations of a run: timesteps, seconds of training, mean and std of the return; oldest first.

    ValueError: the file is damaged.
    """
    path = run_dir / "evaluations.jsonl"
    if not path.exists():
        return []
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error}); remove the lines that are no JSON") from error


class EvaluationCallback(BaseCallback):
    """Evaluates regularly, logs and stores the returns, and tells of the best model.

    Args:
        env: not the one that is trained on.
        run_dir: gets evaluations.jsonl.
        clock: of the training; it stands during an evaluation.
        freq: environment steps between evaluations.
        period: seconds of training between them, in place of steps.
        episodes: for each evaluation.
        seed: of the first episode of each evaluation.
        on_best: called while the model is the best so far.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        run_dir: Path,
        clock: TrainingClock,
        freq: int,
        episodes: int,
        seed: int,
        period: float | None = None,
        on_best: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.env, self.run_dir, self.clock, self.episodes, self.seed = env, run_dir, clock, episodes, seed
        self.freq, self.period, self.on_best = freq, period, on_best
        self.evaluations = read_evaluations(run_dir)

    def _init_callback(self) -> None:
        """Forgets what came after the checkpoint that is resumed, which will be done again."""
        self.evaluations = [e for e in self.evaluations if e["timesteps"] <= self.model.num_timesteps]
        self._write()

    def _write(self) -> None:
        lines = "".join(json.dumps(e) + "\n" for e in self.evaluations)
        with written_beside(self.run_dir / "evaluations.jsonl") as file:
            file.write_text(lines)

    @property
    def best(self) -> float:
        """The greatest mean return of an evaluation so far."""
        return max((e["mean"] for e in self.evaluations), default=-np.inf)

    def _on_rollout_start(self) -> None:
        """Before a rollout, because then the updates for all earlier steps have been made.

        Updates may count steps too, which a callback's own `num_timesteps` learns of later.
        """
        last = self.evaluations[-1] if self.evaluations else {"timesteps": 0, "seconds": 0.0}
        due = self.model.num_timesteps - last["timesteps"] >= self.freq
        if self.period is not None:
            due = self.clock.seconds - last["seconds"] >= self.period
        if due:
            self._evaluate()

    def _on_training_end(self) -> None:
        if not self.evaluations or self.evaluations[-1]["timesteps"] < self.model.num_timesteps:
            self._evaluate()

    def _on_step(self) -> bool:
        return True

    def _evaluate(self) -> None:
        with self.clock.paused():
            self._evaluate_now()

    def _evaluate_now(self) -> None:
        returns = evaluate_returns(self.model, self.env, self.episodes, self.seed)
        mean, std = float(returns.mean()), float(returns.std())
        if mean > self.best:
            self.on_best()
        seconds = round(self.clock.seconds, 3)
        self.evaluations.append({"timesteps": self.model.num_timesteps, "seconds": seconds, "mean": mean, "std": std})
        self._write()
        self.logger.record("eval/mean_return", mean)
        self.logger.record("eval/best_return", self.best)
        self.logger.record("time/seconds_training", seconds)
        self.logger.record("time/total_timesteps", self.model.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.model.num_timesteps)
