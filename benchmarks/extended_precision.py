"""Steps of a chain of hinges in extended precision, and their derivatives exact to its rounding.

Newton-Euler's recursion (Luh, Walker and Paul 1980) in the links' own frames, on numpy's `longdouble`, and by
the complex step (Squire and Trapp 1998): f(x + ih) has the derivative as its imaginary part over h, with nothing
subtracted, for h as small as one likes. Written without regard to speed, and without a line of the simulator's.
"""

from typing import Any, NamedTuple

import mujoco
import numpy as np
from mechanisms import tree

Array = np.ndarray[Any, Any]
_STEP = 1e-100


class Derivative(NamedTuple):
    """A Jacobian with what its elements may be wrong by."""

    value: Array
    uncertainty: Array


class Chain:
    """Hinges in a row, each on the link before it, with motors on all: MuJoCo's Euler step.

    Args:
        m: its model.
        real: precision, a numpy type of floats; arrays are of its complex companion, with a leading batch axis.
    """

    def __init__(self, m: mujoco.MjModel, real: Any = np.longdouble) -> None:
        links = tree(m).links
        if any(link["joint"] != "hinge" or link["parent"] != i - 1 for i, link in enumerate(links)):
            raise ValueError("the model is not a chain of hinges")
        self.kind = np.result_type(real, np.complex64)
        for name in ("axis", "rotation", "origin", "mass", "centre", "inertia"):
            setattr(self, name, np.array([link[name] for link in links]).astype(real))
        self.gravity, self.gear = m.opt.gravity.astype(real), m.actuator_gear[:, 0].astype(real)
        self.armature, self.damping = m.dof_armature.astype(real), m.dof_damping.astype(real)
        self.timestep, self.n = real(m.opt.timestep), m.nv

    axis: Array
    rotation: Array
    origin: Array
    mass: Array
    centre: Array
    inertia: Array

    def force(self, qpos: Array, qvel: Array, qacc: Array, gravity: Array) -> Array:
        """Inverse dynamics: the joints' forces (batch, n)."""
        batch = len(qpos)
        turns, forces, moments = [], [], []
        spin = spin_rate = np.zeros((batch, 3), self.kind)
        lift = np.zeros((batch, 3), self.kind) - gravity
        for i in range(self.n):
            axis, origin, centre = self.axis[i], self.origin[i], self.centre[i]
            turn = self.rotation[i] @ _rotation(axis, qpos[:, i])
            lift = lift + np.cross(spin_rate, origin) + np.cross(spin, np.cross(spin, origin))
            lift, spin, spin_rate = (np.einsum("bij,bi->bj", turn, x) for x in (lift, spin, spin_rate))
            own = axis * qvel[:, i, None]
            spin_rate = spin_rate + axis * qacc[:, i, None] + np.cross(spin, own)
            spin = spin + own
            at_centre = lift + np.cross(spin_rate, centre) + np.cross(spin, np.cross(spin, centre))
            force = self.mass[i] * at_centre
            moment = spin_rate @ self.inertia[i] + np.cross(spin, spin @ self.inertia[i]) + np.cross(centre, force)
            turns.append(turn)
            forces.append(force)
            moments.append(moment)
        found = np.zeros((batch, self.n), self.kind)
        for i in reversed(range(self.n)):
            found[:, i] = moments[i] @ self.axis[i]
            if i:
                force, moment = (np.einsum("bij,bj->bi", turns[i], x[i]) for x in (forces, moments))
                forces[i - 1] = forces[i - 1] + force
                moments[i - 1] = moments[i - 1] + moment + np.cross(self.origin[i], force)
        return found

    def step(self, qpos: Array, qvel: Array, ctrl: Array) -> tuple[Array, Array]:
        zero = np.zeros_like(qpos)
        inertia = np.empty((len(qpos), self.n, self.n), self.kind)
        for i in range(self.n):
            inertia[:, :, i] = self.force(qpos, zero, zero + (np.arange(self.n) == i), np.zeros(3))
        inertia += np.diag(self.armature + self.timestep * self.damping)
        applied = self.gear * ctrl - self.damping * qvel
        qvel = qvel + self.timestep * _solved(inertia, applied - self.force(qpos, qvel, zero, self.gravity))
        return qpos + self.timestep * qvel, qvel

    def derivative(self, qpos: Array, qvel: Array, ctrl: Array, steps: int) -> Array:
        """Of the state (2 n) after steps under one control, by state and control (3 n)."""
        inputs = np.concatenate([qpos, qvel, ctrl]).astype(self.kind)
        moved = inputs + 1j * self.timestep.dtype.type(_STEP) * np.eye(3 * self.n)
        q, v, u = moved[:, : self.n], moved[:, self.n : 2 * self.n], moved[:, 2 * self.n :]
        for _ in range(steps):
            q, v = self.step(q, v, u)
        return np.imag(np.concatenate([q, v], axis=1)).T / self.timestep.dtype.type(_STEP)


def _rotation(axis: Array, angle: Array) -> Array:
    """Rotation matrices (batch, 3, 3), by Rodrigues."""
    x, y, z = axis
    skew = np.array([[0 * x, -z, y], [z, 0 * x, -x], [-y, x, 0 * x]])
    angle = angle[:, None, None]
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * (skew @ skew)


def _solved(matrix: Array, right: Array) -> Array:
    """Solutions (batch, n) by elimination, in any precision; the matrices' real parts are positive definite."""
    matrix, right, n = matrix.copy(), right.copy(), right.shape[1]
    for i in range(n):
        factor = matrix[:, i + 1 :, i] / matrix[:, i, i, None]
        matrix[:, i + 1 :] -= factor[:, :, None] * matrix[:, i, None]
        right[:, i + 1 :] -= factor * right[:, i, None]
    for i in reversed(range(n)):
        right[:, i] = (right[:, i] - np.einsum("bj,bj->b", matrix[:, i, i + 1 :], right[:, i + 1 :])) / matrix[:, i, i]
    return right


def chain_derivative(m: mujoco.MjModel, qpos: Array, qvel: Array, ctrl: Array, steps: int) -> Derivative:
    """From extended precision, rounded to double.

    Its uncertainty is that of the last rounding, or double precision's error in the same computation times the ratio
    of the two precisions' units, if that is more.
    """
    exact = Chain(m).derivative(qpos, qvel, ctrl, steps)
    rounded = Chain(m, np.float64).derivative(qpos, qvel, ctrl, steps)
    unit, extended = np.finfo(np.float64).eps, np.finfo(np.longdouble).eps
    uncertainty = np.maximum(np.abs(exact - rounded) * (extended / unit), np.abs(exact) * (unit / 2.0))
    return Derivative(exact.astype(np.float64), uncertainty.astype(np.float64))
