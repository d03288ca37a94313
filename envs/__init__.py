"""Tasks as functional environments, and the adapters that turn them into Gymnasium's classes.

Entry points are strings, so that ``import gradgym`` loads neither torch nor the simulator.
"""

from pathlib import Path

import gymnasium

ASSETS = Path(__file__).parent / "assets"  # MJCF of our own

_ADAPTER = "gradgym.envs.single:TaskEnv"
_VECTOR_ADAPTER = "gradgym.envs.vector:TaskVectorEnv"


_TASKS = {
    "NLinkPendulum": ("pendulum", 100),
    "Ant": ("ant", 1000),
    "HalfCheetah": ("half_cheetah", 1000),
    "Hopper": ("hopper", 1000),
    "Walker2d": ("walker2d", 1000),
}


def register_environments() -> None:
    """Registers every task with Gymnasium, in both forms (``make`` and ``make_vec``)."""
    for name, (module, max_episode_steps) in _TASKS.items():
        gymnasium.register(
            id=f"gradgym/{name}-v0",
            entry_point=_ADAPTER,
            vector_entry_point=_VECTOR_ADAPTER,
            max_episode_steps=max_episode_steps,
            kwargs={"task": f"gradgym.envs.{module}:{name}"},
        )
