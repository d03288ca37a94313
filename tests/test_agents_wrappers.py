"""MBPO under wrappers: what its gradients do not know is refused; without gradients it learns what wrappers give."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import point_mass as point_mass  # registers its environment
import pytest
import torch
from gymnasium import wrappers
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecCheckNan,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)

from gradgym.agents import MBPO
from gradgym.agents.mbpo.model_rollouts import observed_task

ENHANCED: dict[str, dict[str, Any]] = {
    "sample": {"enhancement": "sample"},
    "policy": {"enhancement": "policy"},
    "episode": {"enhancement": "policy", "gradient_horizon": "episode"},
}
MODEL: dict[str, Any] = {
    "model_train_freq": 20,
    "model_kwargs": {"members": 2, "elites": 1, "net_arch": (8,)},
    "model_fit_kwargs": {"max_epochs": 1},
    "rollout_batch_size": 50,
}


class Halved(gymnasium.Wrapper[Any, Any, Any, Any]):
    """One's own, that says by no base class what it changes."""

    def step(self, action: Any) -> Any:
        obs, reward, *rest = self.env.step(action)
        return obs, 0.5 * float(reward), *rest


CHANGING: dict[str, Any] = {
    "RescaleAction": lambda env: wrappers.RescaleAction(env, np.float32(-1.0), np.float32(1.0)),
    "TransformReward": lambda env: wrappers.TransformReward(env, float),
    "NormalizeObservation": wrappers.NormalizeObservation,
    "NormalizeReward": wrappers.NormalizeReward,
    "FlattenObservation": wrappers.FlattenObservation,
    "TimeAwareObservation": wrappers.TimeAwareObservation,
    "Halved": Halved,
}


def point(level: str | None = None) -> Any:
    return gymnasium.make("PointMass-v0", gradients=level)


def make(env: Any, **arguments: Any) -> MBPO:
    settings: dict[str, Any] = {
        "policy_kwargs": {"net_arch": [8]},
        "buffer_size": 500,
        "seed": 0,
        "device": "cpu",
        **arguments,
    }
    return MBPO("MlpPolicy", env, **settings)


def enhanced(env: Any, variant: str) -> MBPO:
    return make(env, model=False, **ENHANCED[variant])


@pytest.mark.parametrize("variant", ENHANCED)
@pytest.mark.parametrize("name", CHANGING)
def test_what_gradients_do_not_know_is_refused(name: str, variant: str) -> None:
    level = MBPO.required_gradients(**ENHANCED[variant])
    for env in (CHANGING[name](point(level)), Monitor(CHANGING[name](point(level)))):
        with pytest.raises(TypeError, match=f"env is wrapped in {name}, which its gradients do not know: pass it bare"):
            enhanced(env, variant)


@pytest.mark.parametrize("variant", ENHANCED)
@pytest.mark.parametrize("wrapper", [VecNormalize, lambda envs: VecFrameStack(envs, 2)])
def test_vectors_wrappers_are_refused(wrapper: Any, variant: str) -> None:
    level = MBPO.required_gradients(**ENHANCED[variant])
    env = VecMonitor(wrapper(DummyVecEnv([lambda: point(level)])))
    with pytest.raises(TypeError, match=r"env is wrapped in Vec(Normalize|FrameStack), which"):
        enhanced(env, variant)


@pytest.mark.parametrize("name", [None, "NormalizeObservation", "Halved"])
def test_environments_in_other_processes(name: str | None) -> None:
    def wrapped() -> Any:
        env = point("action")
        return Monitor(env if name is None else CHANGING[name](env))

    envs = SubprocVecEnv([wrapped], start_method="fork")
    try:
        if name is None:
            enhanced(envs, "policy")
        else:
            with pytest.raises(TypeError, match=f"wrapped in {name}"):
                enhanced(envs, "policy")
    finally:
        envs.close()


def test_wrappers_that_only_look_are_taken() -> None:
    env = wrappers.TimeLimit(wrappers.RecordEpisodeStatistics(point("action")), 5)
    algorithm = enhanced(VecCheckNan(VecMonitor(DummyVecEnv([lambda: env]))), "policy")
    algorithm.learn(120)
    assert algorithm.num_timesteps == 120


def test_later_environments_are_looked_at_too(tmp_path: Path) -> None:
    algorithm = enhanced(point("action"), "policy")
    algorithm.save(tmp_path / "model.zip")
    for use in (algorithm.set_env, lambda env: MBPO.load(tmp_path / "model.zip", env)):
        with pytest.raises(TypeError, match="wrapped in NormalizeReward"):
            use(wrappers.NormalizeReward(point("action")))
        use(point("action"))


def test_a_reward_that_nobody_tells_is_refused() -> None:
    pendulum = gymnasium.make("gradgym/NLinkPendulum-v0", n_links=1)
    algorithm = make(pendulum, **MODEL)
    assert not algorithm.learns_reward
    with pytest.raises(TypeError, match="the model has learned no reward, and this env does not tell it"):
        algorithm.set_env(Halved(pendulum))


def test_a_task_tells_nothing_of_what_a_wrapper_changed() -> None:
    pendulum = gymnasium.make("gradgym/NLinkPendulum-v0", n_links=1)
    assert observed_task(DummyVecEnv([lambda: Monitor(pendulum)])) is pendulum.unwrapped.task  # pyright: ignore[reportAttributeAccessIssue]
    for name, wrapper in CHANGING.items():
        algorithm = make(wrapper(pendulum), **MODEL)
        assert algorithm.env is not None
        assert observed_task(algorithm.env) is None and algorithm.learns_reward, name
    assert observed_task(VecNormalize(DummyVecEnv([lambda: pendulum]))) is None


def test_a_reward_ten_times_as_large_is_learned_as_such() -> None:
    env = wrappers.TransformReward(gymnasium.make("gradgym/NLinkPendulum-v0", n_links=1), lambda r: 10.0 * float(r))
    algorithm = make(env, learning_starts=10, train_freq=20, gradient_steps=1, **MODEL)
    shown: list[Any] = []
    fit, predict = algorithm.ensemble.fit, algorithm.ensemble.predict
    algorithm.ensemble.fit = lambda *a, **k: (shown.append(a[3]), fit(*a, **k))[1]  # pyright: ignore[reportAttributeAccessIssue]
    algorithm.ensemble.predict = lambda obs, action: (predict(obs, action)[0], torch.full((len(obs),), 7.0))  # pyright: ignore[reportAttributeAccessIssue]
    algorithm.learn(20)
    buffer = algorithm.replay_buffer
    np.testing.assert_array_equal(shown[0], buffer.rewards[: buffer.size(), 0])
    assert (algorithm.predicted.fields.rewards[:50] == 7.0).all()


def test_normalised_data_are_what_the_policy_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    """SB3's own `sample`: observations and rewards by the statistics at the time; stored as they were."""
    env = VecNormalize(DummyVecEnv([point]), gamma=0.9)
    algorithm = make(env, learning_starts=10, train_freq=20, gradient_steps=1, batch_size=40, real_ratio=0.5, **MODEL)
    batches: list[Any] = []
    update = algorithm._update_critic
    monkeypatch.setattr(algorithm, "_update_critic", lambda b, with_gradient: (batches.append(b), update(b, False))[1])
    fitted: list[Any] = []
    fit = algorithm.ensemble.fit
    monkeypatch.setattr(algorithm.ensemble, "fit", lambda *a, **k: (fitted.append(a), fit(*a, **k))[1])
    algorithm.learn(20)
    buffer = algorithm.replay_buffer
    raw = torch.from_numpy(buffer.observations[:20, 0])
    expected = torch.as_tensor(env.normalize_obs(raw.numpy()))
    rewards = torch.from_numpy(env.normalize_reward(buffer.rewards[:20, 0]))
    assert (expected - raw).abs().max() > 0.1 and (rewards - torch.from_numpy(buffer.rewards[:20, 0])).abs().max() > 0.1
    for field, value in ((0, expected), (2, env.normalize_obs(buffer.next_observations[:20, 0])), (3, rewards)):
        torch.testing.assert_close(fitted[0][field], torch.as_tensor(value))
    starts, _ = buffer.draw_starts(30, env)
    for seen in (starts, batches[0].obs[:20], algorithm.predicted.fields.obs[:50]):
        assert torch.isclose(seen[:, None], expected, atol=1e-5).all(-1).any(1).all()
    assert torch.isin(batches[0].rewards[:20], rewards).all()
