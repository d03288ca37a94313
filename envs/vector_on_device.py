"""What `gymnasium.make_vec` makes of a task: environments on the CPU, or on a GPU."""

from typing import Any

from .tensor_vector import TensorVectorEnv
from .vector import TaskVectorEnv


def vector_env(task: str, num_envs: int = 1, device: Any = None, **keywords: Any) -> TaskVectorEnv:
    """A `TaskVectorEnv`, or with `device="cuda"` a `TensorVectorEnv`, with their arguments."""
    if device is None or str(device) == "cpu":
        return TaskVectorEnv(task, num_envs, **keywords)
    return TensorVectorEnv(task, num_envs, device=device, **keywords)
