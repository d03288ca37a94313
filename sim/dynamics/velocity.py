"""Body velocities and rates of motion axes from `qvel` (mj_comVel)."""

from ..kernels.enums import BALL, FREE
from ..kernels.jit import kernel
from ..kernels.spatial import Vec6, axpy6, cross_motion, load6, store6
from ..model.data import Data
from ..model.model import Model


@kernel
def dofs_moving_together(m: Model, v: int) -> int:
    """How many degrees of freedom from `v`, the first of its group, turn with one another.

    The three rotations of a ball or free joint are body-fixed axes: 3. The translations of a
    free joint do not move one another, so they form groups of one, like slides and hinges.
    """
    j = m.dof_jntid[v]
    kind, offset = m.jnt_type[j], v - m.jnt_dofadr[j]
    return 3 if kind == BALL or (kind == FREE and offset == 3) else 1


@kernel
def is_translation_of_free(m: Model, v: int) -> bool:
    """Whether `v` translates a free joint: its axis is fixed in the world."""
    j = m.dof_jntid[v]
    return m.jnt_type[j] == FREE and v - m.jnt_dofadr[j] < 3


@kernel
def axis_rate(m: Model, d: Data, v: int, velocity: Vec6) -> Vec6:
    """Rate of the motion axis of `v`, carried by a frame of the given velocity."""
    if is_translation_of_free(m, v):
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    return cross_motion(velocity, load6(d.cdof, v))


@kernel
def com_vel(m: Model, d: Data) -> None:
    """Fill cvel, cdof_dot."""
    store6(d.cvel, 0, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    for b in range(1, m.nbody):
        velocity = load6(d.cvel, m.body_parentid[b])
        v, end = m.body_dofadr[b], m.body_dofadr[b] + m.body_dofnum[b]
        while v < end:
            size = dofs_moving_together(m, v)
            before = velocity
            for i in range(v, v + size):
                store6(d.cdof_dot, i, axis_rate(m, d, i, before))
                velocity = axpy6(d.qvel[i], load6(d.cdof, i), velocity)
            v += size
        store6(d.cvel, b, velocity)
