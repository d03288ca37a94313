"""Tasks as functional environments, and the adapters that turn them into Gymnasium's classes.

Entry points are strings, so that ``import gradgym`` loads neither torch nor the simulator.
"""

from pathlib import Path

import gymnasium

ASSETS = Path(__file__).parent / "assets"  # MJCF of our own

_ADAPTER = "gradgym.envs.single:TaskEnv"
_VECTOR_ADAPTER = "gradgym.envs.vector:TaskVectorEnv"


def register_environments() -> None:
    """Registers every task with Gymnasium, in both forms (``make`` and ``make_vec``)."""
    gymnasium.register(
        id="gradgym/NLinkPendulum-v0",
        entry_point=_ADAPTER,
        vector_entry_point=_VECTOR_ADAPTER,
        max_episode_steps=100,
        kwargs={"task": "gradgym.envs.pendulum:NLinkPendulum"},
    )
