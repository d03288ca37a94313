"""gradgym: Gymnasium environments whose physics has exact derivatives.

``import gradgym`` registers the ``gradgym/...`` environments; ``gradgym.sim`` is the simulator
below them, ``gradgym.envs`` the tasks, ``gradgym.agents`` the algorithms that use the gradients.
"""

from .envs import register_environments

__version__ = "0.1.0.dev0"

register_environments()
