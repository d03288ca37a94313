"""A differentiable simulator of articulated bodies that means what MuJoCo means.

    model = sim.Model.from_xml_path("ant.xml")
    state = model.initial_state()
    state = sim.step(model, state, ctrl)
    jacobian = sim.step_jacobian(model, state, ctrl)

Leading axes of states, controls and cotangents are batches. `sim.torch_bridge` gives the same
functions to torch, `sim.mujoco_twin` has the same interface on MuJoCo itself.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from .cfrc_ext import cfrc_ext, cfrc_ext_vjp, step_with_cfrc_ext
from .forward import Contact, Forward, forward
from .kernels.threads import get_num_threads, set_num_threads
from .linearize import Linearization, StepJacobian, linearize, step_jacobian
from .model.model import Model, State
from .model.unsupported import UnsupportedModelError
from .models import Models
from .rollout import rollout, rollout_vjp
from .step import StepGradient, counted_step, step, step_vjp
from .trajectory import PARAMETERS, RolloutGradient, Trajectory
from .unconverged import UnconvergedWarning

if TYPE_CHECKING:
    from . import mujoco_twin, torch_bridge

__all__ = [
    "PARAMETERS",
    "Contact",
    "Forward",
    "Linearization",
    "Model",
    "Models",
    "RolloutGradient",
    "State",
    "StepGradient",
    "StepJacobian",
    "Trajectory",
    "UnconvergedWarning",
    "UnsupportedModelError",
    "cfrc_ext",
    "cfrc_ext_vjp",
    "counted_step",
    "forward",
    "get_num_threads",
    "linearize",
    "mujoco_twin",
    "rollout",
    "rollout_vjp",
    "set_num_threads",
    "step",
    "step_jacobian",
    "step_vjp",
    "step_with_cfrc_ext",
    "torch_bridge",
]


def __getattr__(name: str) -> ModuleType:
    """Import the torch bridge and the twin when first used: the simulator itself needs no torch."""
    if name in ("torch_bridge", "mujoco_twin"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
