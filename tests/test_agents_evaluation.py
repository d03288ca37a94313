"""Evaluations, checkpoints and the clock of a training, each alone."""

import json
import random
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import point_mass
import pytest
import torch
from stable_baselines3.common.logger import KVWriter, Logger

from gradgym.agents.training import clock as clock_module
from gradgym.agents.training import evaluation
from gradgym.agents.training.checkpoint import CheckpointCallback, load_checkpoint, save_checkpoint
from gradgym.agents.training.clock import TimeLimitCallback, TrainingClock
from gradgym.agents.training.evaluation import EvaluationCallback, evaluate_returns, read_evaluations, rewards


class Log(KVWriter):
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: Any, step: int = 0) -> None:
        self.rows.append(dict(key_values) | {"step": step})

    def close(self) -> None:
        pass


class Model:
    """What callbacks see of an algorithm; its policy goes straight to the origin if it is told to."""

    def __init__(self, gain: float = 0.0) -> None:
        self.num_timesteps, self.gain, self.kept = 0, gain, []
        self.log = Log()
        self.logger = Logger(None, [self.log])

    def predict(self, observation: Any, state: Any = None, *, deterministic: bool = False) -> tuple[Any, None]:
        assert deterministic
        return np.clip(-self.gain * observation[:1] / point_mass.STEP, -1.0, 1.0) * 2.0, None

    def keep(self) -> None:
        self.kept.append(self.num_timesteps)


class Clock(TrainingClock):
    """One whose time is set."""

    now = 0.0
    pauses = 0

    @property
    def seconds(self) -> float:
        return self.now

    def paused(self) -> Any:
        self.pauses += 1
        return super().paused()


def callback(run_dir: Path, model: Model, **changes: Any) -> Any:
    settings: dict[str, Any] = {"clock": Clock(), "freq": 100, "episodes": 2, "seed": 40, "on_best": model.keep}
    found = EvaluationCallback(gymnasium.make("PointMass-v0"), run_dir, **settings | changes)
    found.init_callback(model)  # pyright: ignore[reportArgumentType]
    return found


def starts(seed: int, count: int) -> list[float]:
    env = gymnasium.make("PointMass-v0")
    return [float(env.reset(seed=seed + k)[0][0]) for k in range(count)]


def test_returns_are_those_of_whole_episodes_from_seeds_in_a_row() -> None:
    found = evaluate_returns(Model(gain=1.0), gymnasium.make("PointMass-v0"), 3, seed=7)
    np.testing.assert_allclose(found, [point_mass.best_return(x) for x in starts(7, 3)], atol=1e-6)
    still = evaluate_returns(Model(), gymnasium.make("PointMass-v0"), 3, seed=7)
    np.testing.assert_allclose(still, [-8.0 * x * x for x in starts(7, 3)], rtol=1e-6)


class Ended(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Ends the task in the third step."""

    def reset(self, **kwargs: Any) -> Any:
        self.left = 3
        return super().reset(**kwargs)

    def step(self, action: Any) -> Any:
        obs, reward, _, truncated, info = super().step(action)
        self.left -= 1
        return obs, reward, self.left == 0, truncated, info


def test_an_episode_ends_with_the_task() -> None:
    found = evaluate_returns(Model(), Ended(gymnasium.make("PointMass-v0")), 2, seed=7)
    np.testing.assert_allclose(found, [-3.0 * x * x for x in starts(7, 2)], rtol=1e-6)


def test_an_episode_can_be_looked_at_after_the_reset_and_each_step() -> None:
    env = gymnasium.make("PointMass-v0")
    found = list(rewards(Model(gain=1.0), env, seed=3))
    assert len(found) == 1 + point_mass.EPISODE_STEPS and found[0] == 0.0
    assert sum(found) == evaluate_returns(Model(gain=1.0), env, 1, seed=3)[0]


def test_evaluations_come_when_steps_say_so_and_tell_of_the_best_model(tmp_path: Path) -> None:
    model = Model()
    found = callback(tmp_path, model)
    found.clock.now = 1.23456
    for steps, gain in ((50, 0.0), (100, 0.0), (199, 1.0), (230, 1.0), (299, 0.5), (330, 0.5)):
        model.num_timesteps, model.gain = steps, gain
        found.on_rollout_start()
        assert found.on_step() is True
    x = np.array(starts(40, 2))
    stored = read_evaluations(tmp_path)
    assert [e["timesteps"] for e in stored] == [100, 230, 330]
    assert stored[0]["mean"] == pytest.approx((-8.0 * x**2).mean(), rel=1e-6)
    assert stored[0]["std"] == pytest.approx((-8.0 * x**2).std(), rel=1e-6)
    assert stored[0]["seconds"] == 1.235
    best = np.mean([point_mass.best_return(float(one)) for one in x])
    assert found.best == pytest.approx(best, abs=1e-6) and stored[2]["mean"] < best
    assert model.kept == [100, 230]
    assert found.clock.pauses == 3
    assert [row["eval/mean_return"] for row in model.log.rows] == [e["mean"] for e in stored]
    assert [row["eval/best_return"] for row in model.log.rows] == [
        stored[0]["mean"],
        stored[1]["mean"],
        stored[1]["mean"],
    ]
    assert [row["step"] for row in model.log.rows] == [100, 230, 330]
    assert {row["time/seconds_training"] for row in model.log.rows} == {1.235}


def test_evaluations_by_seconds_count_seconds_alone(tmp_path: Path) -> None:
    model = Model()
    found = callback(tmp_path, model, period=2.0)
    for steps, now in ((500, 1.9), (501, 2.1), (900, 3.0), (901, 4.2)):
        model.num_timesteps, found.clock.now = steps, now
        found.on_rollout_start()
    assert [e["timesteps"] for e in read_evaluations(tmp_path)] == [501, 901]


def test_the_end_is_evaluated_once(tmp_path: Path) -> None:
    model = Model()
    found = callback(tmp_path, model)
    model.num_timesteps = 30
    found.on_training_end()
    found.on_training_end()
    assert [e["timesteps"] for e in read_evaluations(tmp_path)] == [30]


def test_a_resumed_training_forgets_what_it_will_do_again(tmp_path: Path) -> None:
    lines = [{"timesteps": t, "seconds": 1.0, "mean": -1.0 * t, "std": 0.0} for t in (10, 20, 30)]
    (tmp_path / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    model = Model()
    model.num_timesteps = 20
    assert [e["timesteps"] for e in callback(tmp_path, model).evaluations] == [10, 20]
    assert read_evaluations(tmp_path) == lines[:2]


class Learner:
    """All that a checkpoint has to keep: numbers, tensors, and a logger that it must not."""

    def __init__(self, run_dir: Path) -> None:
        self.weights, self.num_timesteps = torch.arange(3.0), 5
        self.logger = Logger(str(run_dir), [])
        self.logger.file = (run_dir / "log").open("w")  # pyright: ignore[reportAttributeAccessIssue]


def test_a_checkpoint_keeps_the_algorithm_and_all_random_generators(tmp_path: Path) -> None:
    def draw() -> list[float]:
        return [random.random(), float(np.random.random()), float(torch.rand(()))]  # noqa: NPY002

    path = tmp_path / "checkpoint.pkl"
    save_checkpoint(Learner(tmp_path), path, 12.5)
    expected = draw()
    assert draw() != expected
    found = load_checkpoint(path)
    assert draw() == expected
    assert found.seconds == 12.5 and found.algorithm.num_timesteps == 5 and found.algorithm.logger is None
    assert torch.equal(found.algorithm.weights, torch.arange(3.0))
    assert [p.name for p in tmp_path.glob("checkpoint*")] == ["checkpoint.pkl"]


def test_a_checkpoint_that_fails_leaves_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pkl"
    save_checkpoint(Learner(tmp_path), path, 1.0)
    broken = Learner(tmp_path)
    broken.weights = threading.Lock()  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError, match="pickle"):
        save_checkpoint(broken, path, 2.0)
    assert load_checkpoint(path).seconds == 1.0


def test_checkpoints_are_saved_when_due_and_at_the_end(tmp_path: Path) -> None:
    learner, path = Learner(tmp_path), tmp_path / "checkpoint.pkl"
    clock = Clock()
    found = CheckpointCallback(path, 100, clock)
    found.init_callback(learner)  # pyright: ignore[reportArgumentType]
    kept = []
    for steps in (60, 105, 160, 204, 206):
        learner.num_timesteps, clock.now = steps, steps / 10
        found.on_rollout_start()
        assert found.on_step() is True
        kept.append(load_checkpoint(path)[1] if path.exists() else None)
    assert kept == [None, 10.5, 10.5, 10.5, 20.6]
    learner.num_timesteps, clock.now = 210, 21.0
    found.on_training_end()
    assert load_checkpoint(path).seconds == 21.0


class Watch:
    """In place of the machine's clock."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    found = Watch()
    monkeypatch.setattr(clock_module, "perf_counter", found)
    return found


def test_the_clock_counts_training_without_its_pauses(watch: Watch) -> None:
    clock = TrainingClock(spent=7.0)
    watch.now += 3.0
    assert clock.seconds == 7.0
    with clock.running():
        watch.now += 2.0
        assert clock.seconds == 9.0
        with clock.paused():
            watch.now += 50.0
            assert clock.seconds == 9.0
        watch.now += 1.0
    watch.now += 20.0
    with clock.paused():
        watch.now += 20.0
    watch.now += 20.0
    assert clock.seconds == 10.0


def test_the_clock_stops_where_training_fails(watch: Watch) -> None:
    clock = TrainingClock()
    with pytest.raises(RuntimeError), clock.running():
        watch.now += 2.0
        raise RuntimeError
    watch.now += 5.0
    assert clock.seconds == 2.0


def test_a_time_limit_ends_the_training(watch: Watch) -> None:
    clock = TrainingClock()
    limited, free = TimeLimitCallback(clock, 10.0), TimeLimitCallback(clock, None)
    with clock.running():
        watch.now += 9.9
        assert limited._on_step() and not limited.reached
        watch.now += 0.1
        assert not limited._on_step() and limited.reached
        assert free._on_step() and not free.reached


def test_the_clock_stands_while_a_policy_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*arguments: Any) -> Any:
        time.sleep(0.05)
        return np.zeros(2)

    monkeypatch.setattr(evaluation, "evaluate_returns", slow)
    clock, model = TrainingClock(), Model()
    found = callback(tmp_path, model, clock=clock)
    model.num_timesteps = 100
    with clock.running():
        found.on_rollout_start()
    assert clock.seconds < 0.04 and len(read_evaluations(tmp_path)) == 1
