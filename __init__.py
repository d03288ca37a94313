"""gradgym: Gymnasium environments whose physics has exact derivatives.

``import gradgym`` registers the ``gradgym/...`` environments; ``gradgym.sim`` is the simulator
below them, ``gradgym.envs`` the tasks, ``gradgym.agents`` the algorithms that use the gradients.
``gradgym.pretrained`` and ``gradgym.load_policy`` give trained policies.
"""

from typing import TYPE_CHECKING, Any

from .envs import register_environments

if TYPE_CHECKING:
    from pathlib import Path

    from .agents.training.policy_file import TrainedPolicy

__version__ = "0.1.0.dev0"

register_environments()

# Both import where they are called: `import gradgym` loads neither torch nor the algorithms.


def pretrained(env_id: str, **env_kwargs: Any) -> "TrainedPolicy":
    """A trained policy that comes with the package: `agents.pretrained.pretrained`.

    policy = gradgym.pretrained("gradgym/Ant-v0")
    env = policy.make_env()
    action, _ = policy.predict(env.reset(seed=0)[0], deterministic=True)

    ValueError: there is none for the environment, or for these arguments of it.
    """
    from .agents.pretrained import pretrained as found

    return found(env_id, **env_kwargs)


def load_policy(path: "str | Path") -> "TrainedPolicy":
    """The policy in a file, such as a run folder's best_policy.safetensors; nothing in the file is executed.

    ValueError: the file is missing, damaged, or no policy: `agents.training.policy_file.load_policy`.
    """
    from .agents.training.policy_file import load_policy as loaded

    return loaded(path)
