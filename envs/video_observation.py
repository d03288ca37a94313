"""Observations of planar pushing with the video of what is to be done."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from .pushing_video import FRAME, video
from .single import TaskEnv
from .tasks.planar_pushing import PlanarPushing

VideoDict = dict[str, NDArray[Any]]


class VideoObservation(gymnasium.Wrapper[Any, ArrayLike, Any, ArrayLike], gymnasium.utils.RecordConstructorArgs):
    """An environment of `PlanarPushing` whose observation is a dictionary.

    `observation` is the environment's; `video` (T, 50, 50, 3) uint8 has a frame of the object alone at each pose of the
    goal, see `pushing_video`, and is the same all through an episode. Reward and `info` stay.

        env = VideoObservation(gymnasium.make("gradgym/PlanarPushing-v0"))
        SAC("MultiInputPolicy", env)

    Args:
        env: of `gymnasium.make`.

    Raises:
        ValueError: the environment is of another task.
    """

    def __init__(self, env: gymnasium.Env[NDArray[np.float32], ArrayLike]) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        gymnasium.Wrapper.__init__(self, env)
        inner = env.unwrapped
        if not isinstance(inner, TaskEnv) or not isinstance(inner.task, PlanarPushing):
            raise ValueError(f"VideoObservation: {env} has no video: give it gradgym/PlanarPushing-v0")
        self._inner, self._task = inner, inner.task
        shape = (self._task.knots, FRAME, FRAME, 3)
        self._video = np.empty(shape, np.uint8)
        self.observation_space = spaces.Dict(
            {"observation": inner.observation_space, "video": spaces.Box(0, 255, shape, np.uint8)}
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[VideoDict, dict[str, Any]]:
        obs, info = self.env.reset(seed=seed, options=options)
        self._video = video(self._task.polygon, self._task.goals(self._inner.state)[0].numpy())
        return self._with_video(obs), info

    def step(self, action: ArrayLike) -> tuple[VideoDict, float, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return self._with_video(obs), float(reward), terminated, truncated, info

    def _with_video(self, obs: NDArray[np.float32]) -> VideoDict:
        return {"observation": obs, "video": self._video.copy()}
