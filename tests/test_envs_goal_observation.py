"""Observations of goals apart, for hindsight experience replay."""

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import SAC, HerReplayBuffer
from stable_baselines3.common.env_checker import check_env as check_for_sb3

from gradgym.envs.goal_observation import GoalObservation

IDS = ("CubeReorient", "ShadowHandGrasp", "WheelTurn")


def make(name: str = "CubeReorient", **options: Any) -> GoalObservation:
    return GoalObservation(gymnasium.make(f"gradgym/{name}-v0", backend="mujoco"), **options)


@pytest.mark.parametrize("name", IDS)
def test_environment_passes_both_checks(name: str) -> None:
    env = make(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the environment is wrapped, and that boxes have no bounds
        check_env(env, skip_render_check=True)
        check_for_sb3(env)


@pytest.mark.parametrize("name", IDS)
def test_goals_are_the_poses_and_the_rest_is_as_before(name: str) -> None:
    env = make(name)
    split, _ = env.reset(seed=3)
    plain = gymnasium.make(f"gradgym/{name}-v0", backend="mujoco").reset(seed=3)[0]
    task: Any = env.unwrapped
    state, inner = task.state, task.task
    np.testing.assert_array_equal(split["observation"], np.concatenate([plain[:-13], plain[-1:]]))
    apart = (split["desired_goal"] - split["achieved_goal"])[:3]
    np.testing.assert_allclose(plain[-13:-10], apart, atol=1e-6)  # what is left out is the goal
    quat = state.kinematics.xquat[0, inner.goal_body].numpy()
    assert abs(split["desired_goal"][3:] @ quat) == pytest.approx(1.0, abs=1e-6)
    assert split["desired_goal"][3] >= 0 and split["achieved_goal"][3] >= 0


@pytest.mark.parametrize("name", IDS)
def test_reward_is_the_tasks_terms_of_the_goal(name: str) -> None:
    env = make(name)
    env.reset(seed=3)
    split, reward, *_, info = env.step(np.zeros(env.action_space.shape or (), np.float32))
    inner: Any = env.unwrapped
    weights = inner.task.constants
    errors = {name: info[f"{name}_error"] for name in ("position", "orientation")}
    expected = sum(np.log1p(weights[name] * error**2) for name, error in errors.items())
    assert reward == pytest.approx(-expected, rel=1e-4)
    again = np.stack([split["achieved_goal"]] * 2), np.stack([split["desired_goal"], split["achieved_goal"]])
    np.testing.assert_allclose(env.compute_reward(*again, [{}, {}]), [reward, 0.0], atol=1e-9)


def test_sparse_reward_counts_both_errors() -> None:
    env = make(reward_type="sparse", distance_threshold=0.01, rotation_threshold=0.1)
    goal = np.array([0.1, 0.2, 0.3, 1.0, 0.0, 0.0, 0.0])

    def pose(shift: float, angle: float, sign: float = 1.0) -> Any:
        return np.array([0.1 + shift, 0.2, 0.3, *(sign * np.array([np.cos(angle / 2), 0, np.sin(angle / 2), 0]))])

    reached = np.stack([pose(0.009, 0.09), pose(0.009, 0.09, -1.0), pose(0.011, 0.0), pose(0.0, 0.11)])
    np.testing.assert_array_equal(env.compute_reward(reached, goal, {}), [0.0, 0.0, -1.0, -1.0])


def test_what_has_no_goal_is_refused() -> None:
    with pytest.raises(ValueError, match="has no goal pose"):
        GoalObservation(gymnasium.make("gradgym/NLinkPendulum-v0", backend="mujoco"))
    with pytest.raises(ValueError, match="without gradients"):
        GoalObservation(gymnasium.make("gradgym/CubeReorient-v0", gradients="full"))
    with pytest.raises(ValueError, match="reward_type='none'"):
        make(reward_type="none")


def test_hindsight_replay_learns_from_it() -> None:
    env = make()
    model = SAC(
        "MultiInputPolicy",
        env,
        replay_buffer_class=HerReplayBuffer,
        replay_buffer_kwargs={"n_sampled_goal": 4},
        learning_starts=100,
        train_freq=10,
        batch_size=64,
        policy_kwargs={"net_arch": [32]},
        seed=0,
    )
    model.learn(300)
    buffer: Any = model.replay_buffer
    sampled = buffer.sample(64, env=model.get_vec_normalize_env())
    assert sampled.rewards.shape == (64, 1)
    stored = {tuple(goal) for goal in buffer.observations["desired_goal"][:300, 0].tolist()}
    relabelled = [tuple(goal) not in stored for goal in sampled.observations["desired_goal"].tolist()]
    assert 0.5 < np.mean(relabelled) < 1.0  # four of five
