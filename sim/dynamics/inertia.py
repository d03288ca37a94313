"""Inertias and motion axes in the world frame, about the tree's centre of mass.

mj_comPos of the MuJoCo documentation's "Computation": `subtree_com`, `cinert`, `cdof`.
"""

from ..kernels.enums import BALL, FREE, SLIDE
from ..kernels.jit import kernel
from ..kernels.rotation import Vec3, cross3, load3, load_mat3, sub3
from ..model.data import Data
from ..model.model import Model


@kernel
def com_pos(m: Model, d: Data) -> None:
    """Fill subtree_com, cinert, cdof from the poses."""
    _subtree_com(m, d)
    for b in range(1, m.nbody):
        _body_inertia(m, d, b)
    for j in range(m.njnt):
        _joint_axes(m, d, j)


@kernel
def _subtree_com(m: Model, d: Data) -> None:
    """Fill subtree_mass, subtree_com."""
    for b in range(m.nbody):
        d.subtree_mass[b] = m.body_mass[b]
        for i in range(3):
            d.subtree_com[b, i] = m.body_mass[b] * d.xipos[b, i]
    for b in range(m.nbody - 1, 0, -1):
        p = m.body_parentid[b]
        d.subtree_mass[p] += d.subtree_mass[b]
        for i in range(3):
            d.subtree_com[p, i] += d.subtree_com[b, i]
    for b in range(m.nbody):
        mass = d.subtree_mass[b]
        for i in range(3):
            d.subtree_com[b, i] = d.subtree_com[b, i] / mass if mass > 1e-15 else d.xipos[b, i]


@kernel
def _body_inertia(m: Model, d: Data, b: int) -> None:
    """Fill cinert of body `b`: its principal inertia turned into the world, about the tree's centre of mass."""
    r = load_mat3(d.ximat, b)
    i0, i1, i2 = m.body_inertia[b, 0], m.body_inertia[b, 1], m.body_inertia[b, 2]
    mass = m.body_mass[b]
    x, y, z = sub3(load3(d.xipos, b), load3(d.subtree_com, m.body_rootid[b]))
    c = d.cinert
    c[b, 0] = i0 * r[0] * r[0] + i1 * r[1] * r[1] + i2 * r[2] * r[2] + mass * (y * y + z * z)
    c[b, 1] = i0 * r[3] * r[3] + i1 * r[4] * r[4] + i2 * r[5] * r[5] + mass * (x * x + z * z)
    c[b, 2] = i0 * r[6] * r[6] + i1 * r[7] * r[7] + i2 * r[8] * r[8] + mass * (x * x + y * y)
    c[b, 3] = i0 * r[0] * r[3] + i1 * r[1] * r[4] + i2 * r[2] * r[5] - mass * x * y
    c[b, 4] = i0 * r[0] * r[6] + i1 * r[1] * r[7] + i2 * r[2] * r[8] - mass * x * z
    c[b, 5] = i0 * r[3] * r[6] + i1 * r[4] * r[7] + i2 * r[5] * r[8] - mass * y * z
    c[b, 6] = mass * x
    c[b, 7] = mass * y
    c[b, 8] = mass * z
    c[b, 9] = mass


@kernel
def _set_rotation_axis(d: Data, v: int, axis: Vec3, arm: Vec3) -> None:
    moment = cross3(axis, arm)
    for i in range(3):
        d.cdof[v, i] = axis[i]
        d.cdof[v, 3 + i] = moment[i]


@kernel
def _joint_axes(m: Model, d: Data, j: int) -> None:
    """Fill cdof of joint `j`."""
    b, v, kind = m.jnt_bodyid[j], m.jnt_dofadr[j], m.jnt_type[j]
    arm = sub3(load3(d.subtree_com, m.body_rootid[b]), load3(d.xanchor, j))
    if kind == FREE or kind == BALL:
        if kind == FREE:
            for i in range(3):
                for k in range(6):
                    d.cdof[v + i, k] = 1.0 if k == 3 + i else 0.0
            v += 3
        r = load_mat3(d.xmat, b)
        for i in range(3):
            _set_rotation_axis(d, v + i, (r[i], r[3 + i], r[6 + i]), arm)
    elif kind == SLIDE:
        for i in range(3):
            d.cdof[v, i] = 0.0
            d.cdof[v, 3 + i] = d.xaxis[j, i]
    else:
        _set_rotation_axis(d, v, load3(d.xaxis, j), arm)
