"""Training through real contact: what it asks of the environment, and that it learns."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from gradgym.agents import Consistency


def test_other_tasks_are_refused_in_one_line() -> None:
    with pytest.raises(TypeError, match=r"^NLinkPendulum.* is no manipulation task: choose CubeReorient"):
        Consistency("MlpPolicy", "gradgym/NLinkPendulum-v0")


def test_adjoints_of_each_world_are_cut_to_a_length_that_does_not_depend_on_their_number() -> None:
    few, many = (Consistency("MlpPolicy", "gradgym/CubeReorient-v0", n_envs=n, horizon=15) for n in (4, 8))
    assert few.adjoint_limit == pytest.approx(2.0 * many.adjoint_limit)
    assert Consistency("MlpPolicy", "gradgym/CubeReorient-v0", adjoint_limit=3.0).adjoint_limit == 3.0


def success_rate(policy: Any, episodes: int) -> float:
    envs = gymnasium.make_vec(
        "gradgym/CubeReorient-v0", episodes, "vector_entry_point", backend="mujoco", max_episode_steps=60
    )
    obs, _ = envs.reset(seed=1000)
    ended, info = np.zeros(episodes, bool), {}
    while not ended.all():
        obs, _, _, ended, info = envs.step(policy.predict(obs, deterministic=True)[0])
    return float(np.mean(info["is_success"]))


@pytest.mark.slow
def test_two_fingers_turn_the_cube_in_mujoco_after_a_minute() -> None:
    algorithm = Consistency("MlpPolicy", "gradgym/CubeReorient-v0", 1e-3, n_envs=32, horizon=15, seed=0)
    algorithm.learn(50_000)
    assert success_rate(algorithm, 50) >= 0.9


def test_a_short_training_brings_the_cube_nearer_to_its_goal(tmp_path: Any) -> None:
    algorithm = Consistency("MlpPolicy", "gradgym/CubeReorient-v0", n_envs=8, horizon=15, seed=0)
    before = mean_errors(algorithm)
    algorithm.learn(2_880)
    after = mean_errors(algorithm)
    assert after < 0.7 * before
    algorithm.save(tmp_path / "policy.zip")
    assert mean_errors(Consistency.load(tmp_path / "policy.zip")) == pytest.approx(after)
    assert np.isfinite(algorithm.logger.name_to_value.get("train/gap", 0.0))


def mean_errors(policy: Any) -> float:
    """Mean over the last second of 16 episodes in MuJoCo of the squared pose errors, as the reward has them."""
    envs = gymnasium.make_vec("gradgym/CubeReorient-v0", 16, "vector_entry_point", backend="mujoco")
    obs, _ = envs.reset(seed=1000)
    found = []
    for _ in range(59):
        obs, _, _, _, info = envs.step(policy.predict(obs, deterministic=True)[0])
        found.append(100.0 * info["position_error"] ** 2 + 4.0 * info["orientation_error"] ** 2)
    return float(np.mean(found[-20:]))
