"""The environments' names in Gymnasium's registry.

Entry points are strings, so that ``import gradgym`` loads neither torch nor the simulator.
"""

from typing import TYPE_CHECKING

import gymnasium

if TYPE_CHECKING:
    from .task import Task

_ADAPTER = "gradgym.envs.single:TaskEnv"
VECTOR_ADAPTER = "gradgym.envs.vector_on_device:vector_env"

# Name: module in tasks/, which holds a class of that name, and max_episode_steps.
_TASKS = {
    "NLinkPendulum": ("pendulum", 100),
    "Ant": ("ant", 1000),
    "HalfCheetah": ("half_cheetah", 1000),
    "Hopper": ("hopper", 1000),
    "Walker2d": ("walker2d", 1000),
    "BallThrow": ("ball_throw", 120),
    "Golf": ("golf", 200),
    "Racecar": ("racecar", 100),
    "CubeReorient": ("cube_reorient", 60),
    "ShadowHandGrasp": ("shadow_hand_grasp", 120),
    "WheelTurn": ("wheel_turn", 80),
    "PlanarPushing": ("planar_pushing", 20),
}


def register(env_id: str, task: "str | type[Task]", max_episode_steps: int | None = None) -> None:
    """Registers a task with Gymnasium, in both forms (``make`` and ``make_vec``).

    Args:
        env_id: its name, such as "Dribble-v0".
        task: the class, or "module:Class", which is imported when first made.
        max_episode_steps: after which its episodes are truncated, unless it is made with another limit; None for never.
    """
    if not isinstance(task, str):
        if "." in task.__qualname__:
            raise ValueError(f"{env_id}: {task.__qualname__} is defined inside another scope: move it to its module's")
        task = f"{task.__module__}:{task.__qualname__}"
    gymnasium.register(
        id=env_id,
        entry_point=_ADAPTER,
        vector_entry_point=VECTOR_ADAPTER,
        max_episode_steps=max_episode_steps,
        kwargs={"task": task},
    )


def register_environments() -> None:
    """Registers the tasks of this package."""
    for name, (module, max_episode_steps) in _TASKS.items():
        register(f"gradgym/{name}-v0", f"gradgym.envs.tasks.{module}:{name}", max_episode_steps)
