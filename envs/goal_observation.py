"""Observations of manipulation tasks in gymnasium-robotics' form, for hindsight experience replay."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from .single import TaskEnv
from .tasks.manipulation import Manipulation

GoalDict = dict[str, NDArray[np.float32]]


class GoalObservation(gymnasium.Wrapper[Any, ArrayLike, Any, ArrayLike], gymnasium.utils.RecordConstructorArgs):
    """An environment of a `Manipulation` with observation, achieved goal and desired goal apart.

    `observation` is the environment's without the goal, (n_obs - 12,); `achieved_goal` and `desired_goal` are poses of
    object and goal in the world, (7,): position [m] and quaternion (w, x, y, z) with w >= 0. The reward is
    `compute_reward` of the two, so that it can be found again for other goals: terms that need more than the goals,
    as "reach" and "ctrl", are not part of it. `info["is_success"]` is the task's own.

    A wrapper and no argument of `gymnasium.make`, for it replaces the reward, of which `info["gradients"]` would hold
    the wrong gradients. For single environments: Stable-Baselines3's `HerReplayBuffer` makes vectors of them.

        env = GoalObservation(gymnasium.make("gradgym/CubeReorient-v0"))
        SAC("MultiInputPolicy", env, replay_buffer_class=HerReplayBuffer)

    Args:
        env: of `gymnasium.make`, of a task that is a `Manipulation`, without `gradients`.
        reward_type: "dense" for the task's terms of the pose errors, "sparse" for 0 within both thresholds and -1 else.
        distance_threshold: of "sparse" [m].
        rotation_threshold: of "sparse" [rad].

    Raises:
        ValueError: the environment is of another task, or has gradients, or the reward type is unknown.
    """

    def __init__(
        self,
        env: gymnasium.Env[NDArray[np.float32], ArrayLike],
        reward_type: str = "dense",
        distance_threshold: float = 0.05,
        rotation_threshold: float = 0.2,
    ) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(
            self,
            reward_type=reward_type,
            distance_threshold=distance_threshold,
            rotation_threshold=rotation_threshold,
        )
        gymnasium.Wrapper.__init__(self, env)
        inner = env.unwrapped
        if not isinstance(inner, TaskEnv) or not isinstance(inner.task, Manipulation):
            raise ValueError(
                f"GoalObservation: {env} has no goal pose: give it CubeReorient, ShadowHandGrasp or WheelTurn"
            )
        if inner.gradients is not None:
            raise ValueError("GoalObservation replaces the reward: make its environment without gradients")
        if reward_type not in ("dense", "sparse"):
            raise ValueError(f'reward_type={reward_type!r}: choose "dense" or "sparse"')
        self._inner, self._task, self._sparse = inner, inner.task, reward_type == "sparse"
        self._thresholds = distance_threshold, rotation_threshold
        size = spaces.flatdim(inner.task.observation_space) - 12
        boxes = {"observation": size, "achieved_goal": 7, "desired_goal": 7}
        self.observation_space = spaces.Dict(
            {name: spaces.Box(-np.inf, np.inf, (n,), np.float32) for name, n in boxes.items()}
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[GoalDict, dict[str, Any]]:
        obs, info = self.env.reset(seed=seed, options=options)
        return self._split(obs), info

    def step(self, action: ArrayLike) -> tuple[GoalDict, float, bool, bool, dict[str, Any]]:
        obs, _, terminated, truncated, info = self.env.step(action)
        split = self._split(obs)
        reward = float(self.compute_reward(split["achieved_goal"], split["desired_goal"], info))
        return split, reward, terminated, truncated, info

    def compute_reward(self, achieved_goal: NDArray[Any], desired_goal: NDArray[Any], info: Any) -> NDArray[np.float64]:
        """The reward of reaching one pose where another is asked for, (..., 7) each; (...). `info` is not used."""
        achieved, desired = np.asarray(achieved_goal, np.float64), np.asarray(desired_goal, np.float64)
        place = np.square(achieved[..., :3] - desired[..., :3]).sum(-1)
        # Of quaternions p and q half the angle between has |p - q| / |p + q| as the tangent of its half, the nearer of
        # q and -q taken; accurate near zero, where an arc cosine of rounded numbers is not.
        p, q = achieved[..., 3:], desired[..., 3:]
        apart, together = np.linalg.norm(p - q, axis=-1), np.linalg.norm(p + q, axis=-1)
        angle = 4.0 * np.arctan2(np.minimum(apart, together), np.maximum(apart, together))
        if self._sparse:
            distance, rotation = self._thresholds
            return np.where((place < distance**2) & (angle < rotation), 0.0, -1.0)
        weights = self._task.constants
        return -(np.log1p(weights["position"] * place) + np.log1p(weights["orientation"] * np.square(angle)))

    def _split(self, obs: NDArray[np.float32]) -> GoalDict:
        kinematics = self._inner.state.kinematics
        goals = {}
        for name, body in (("achieved_goal", self._task.object_body), ("desired_goal", self._task.goal_body)):
            quat = kinematics.xquat[0, body].numpy()
            upper = quat if quat[0] >= 0.0 else -quat
            goals[name] = np.concatenate([kinematics.xpos[0, body].numpy(), upper]).astype(np.float32)
        return {"observation": np.delete(obs, self._task.goal_entries), **goals}
