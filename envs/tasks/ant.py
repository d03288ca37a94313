"""The Ant: a quadruped on a free joint, eight motors. Gymnasium's `Ant-v5` without external forces."""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from ..arrays import Array, namespace
from ..task_state import TaskState
from .locomotion import Balance, BalanceConstants


@dataclass(frozen=True)
class AntConstants(BalanceConstants):
    """Keyword arguments of `Ant-v5`."""

    xml_file: str = "ant.xml"
    frame_skip: int = 5
    ctrl_cost_weight: float = 0.5
    contact_cost_weight: float = 5e-4
    main_body: int | str = 1
    healthy_z_range: tuple[float, float] = (0.2, 1.0)
    contact_force_range: tuple[float, float] = (-1.0, 1.0)
    reset_noise_scale: float = 0.1
    include_cfrc_ext_in_observation: bool = False


class Ant(Balance):
    """Observation (27): height, quaternion, 8 joint angles, 6 velocities of the torso, 8 of the joints.

    Besides what locomotion pays, the contact forces of the next state, each clipped, cost their
    squares. With the default range most of them are beyond it while a foot stands, so their
    gradient is zero there.
    """

    serves_numpy = True
    counterpart_id = "Ant-v5"
    constants_type = AntConstants
    n_places = 2
    normal_velocities = True

    def __init__(self, backend: str = "sim", **keywords: Any) -> None:
        super().__init__(backend, **keywords)
        if self.constants.include_cfrc_ext_in_observation:
            raise ValueError("include_cfrc_ext_in_observation=True is not offered: observations hold no forces")
        self.pays_for_contact_forces = bool(self.constants.contact_cost_weight)
        self._main_body = _body_id(self.model.mj_model, self.constants.main_body)
        joint = self.model.mj_model.body_jntadr[self._main_body]
        free = joint >= 0 and self.model.mj_model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE
        # A free body's position is part of qpos, which saves the poses.
        self._place_address = int(self.model.mj_model.jnt_qposadr[joint]) if free else None

    def place(self, state: TaskState) -> Array:
        """x and y of the main body, (..., 2) [m]."""
        if self._place_address is None:
            return state.kinematics.xpos[..., self._main_body, :2]
        return state.qpos[..., self._place_address : self._place_address + 2]

    def healthy(self, qpos: Array, qvel: Array) -> Array:
        low, high = self.constants.healthy_z_range
        z, finite = qpos[..., 2], abs(qpos.sum(-1) + qvel.sum(-1)) < np.inf
        return finite & (z >= low) & (z <= high)

    def reward_terms(self, state: TaskState, action: Array, next_state: TaskState) -> dict[str, Array]:
        """Those of balance, and the cost of contact forces, each (...)."""
        terms = super().reward_terms(state, action, next_state)
        if self.pays_for_contact_forces:
            forces = self.contact_forces(next_state, action).clip(*self.constants.contact_force_range)
            contact = -self.constants.contact_cost_weight * namespace(forces).square(forces).sum((-2, -1))
        else:
            contact = namespace(action).zeros_like(terms["forward"])
        return terms | {"contact": contact}

    def state_info(self, state: TaskState, params: None = None) -> dict[str, Array]:
        """Position and distance from the origin in the plane, (...) [m]."""
        xp = namespace(state.qpos)
        return super().state_info(state) | {"distance_from_origin": xp.sqrt(xp.square(state.qpos[..., :2]).sum(-1))}


def _body_id(m: mujoco.MjModel, body: int | str) -> int:
    """The number of a body that is named, or numbered."""
    found = mujoco.mj_name2id(m, mujoco.mjtObj.mjOBJ_BODY, body) if isinstance(body, str) else int(body)
    if not 0 <= found < m.nbody:
        raise ValueError(f"main_body={body!r}: the model has no such body")
    return found
