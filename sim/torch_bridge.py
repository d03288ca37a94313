"""The simulator as differentiable torch functions on batches.

`step`, `rollout` and `cfrc_ext` have reverse mode; `kinematics` also forward mode, so that torch.func.jvp,
vjp and linearize work through it. Gradients are computed in float64 whatever the tensors' type.
Quaternions in `qpos` and `mocap_quat` are raw coordinates here: gradients have their size and no part
along the quaternion, since only its direction matters. Tensors on a GPU stay there (`kinematics` excepted).
"""

from .autograd.forces import cfrc_ext
from .autograd.poses import Kinematics, kinematics
from .autograd.steps import TorchState, counted_step, rollout, step

__all__ = ["Kinematics", "TorchState", "cfrc_ext", "counted_step", "kinematics", "rollout", "step"]
