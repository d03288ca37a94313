"""The linear programs of a relaxed rollout, forward and reverse, as loops over samples.

All are linear in what they map; everything else was evaluated at the linearisation (`linearization.py`). Sizes:
T + 1 times, B samples, n commands, K pairs, M spheres; tangents of the object are 12 numbers: position, small
turn, velocity, angular velocity, world axes. Written with numbers instead of small arrays, because torch's cost
of a call is more than that of its work here: a product takes an eighth of the time that torch needs for it.
"""

from typing import Any, NamedTuple

import numba
from numpy.typing import NDArray

from .relaxed import LENGTH

Array = NDArray[Any]
# Not kept on disk: Numba would not see a change in another file. Compiling takes some seconds.
kernel = numba.njit(nogil=True, fastmath=True)

BY_LENGTH = 1.0 / LENGTH


class Geometry(NamedTuple):
    """At each of the T + 1 times of each sample."""

    mat: Array  # (T + 1, B, 3, 3)
    arm: Array  # (T + 1, B, K, 3) contact points from the object's centre
    jacobian: Array  # (T + 1, B, K, 3, n)
    frame_mat: Array  # (T + 1, B, K, 3, 3)
    error_by_turn: Array  # (T + 1, B, 3, 3)


class Dynamics(NamedTuple):
    """At each of the T transitions of each sample."""

    mat: Array  # (T, B, 3, 3)
    arm: Array  # (T, B, K, 3) of the new contact points, before the object moves
    force: Array  # (T, B, K, 3)
    inverse_inertia: Array  # (T, B, 3, 3)
    torque: Array  # (T, B, 3)
    spin_rate: Array  # (T, B, 3) inverse inertia times torque
    turn: Array  # (T, B, 3, 3) the rotation of the step
    turn_by_spin: Array  # (T, B, 3, 3) its left Jacobian


class Constants(NamedTuple):
    """Of the scene and the relaxation."""

    u_scale: Array  # (n + 9 K,)
    x_scale: Array  # (n + 9 K,)
    numbers: Array  # (4,) time step, inverse mass, factors of velocity and angular velocity in a step


@kernel
def tangent_of_inputs(t: int, x: Array, obj: Array, inputs: Array, g: Geometry, c: Constants) -> None:
    """Tangents x[t] (B, n + 9 K) and obj[t] (B, 12) to those of the network's inputs (B, .)."""
    n_x, pairs, n = x.shape[2], g.arm.shape[2], g.jacobian.shape[4]
    for b in range(x.shape[1]):
        p0, p1, p2 = obj[t, b, 0], obj[t, b, 1], obj[t, b, 2]
        h0, h1, h2 = obj[t, b, 3], obj[t, b, 4], obj[t, b, 5]
        for i in range(n_x):
            inputs[b, i] = x[t, b, i] * c.x_scale[i]
        o = n_x
        for k in range(pairs):
            r0, r1, r2 = g.arm[t, b, k, 0], g.arm[t, b, k, 1], g.arm[t, b, k, 2]
            inputs[b, o] = p0 + h1 * r2 - h2 * r1
            inputs[b, o + 1] = p1 + h2 * r0 - h0 * r2
            inputs[b, o + 2] = p2 + h0 * r1 - h1 * r0
            for i in range(3):
                moved = x.dtype.type(0.0)
                for j in range(n):
                    moved += g.jacobian[t, b, k, i, j] * x[t, b, j]
                for j in range(3):
                    moved += g.frame_mat[t, b, k, i, j] * x[t, b, n + 3 * k + j]
                    moved -= g.mat[t, b, i, j] * x[t, b, n + 3 * pairs + 3 * k + j]
                inputs[b, o + i] = (inputs[b, o + i] - moved) * BY_LENGTH
            o += 3
        inputs[b, o], inputs[b, o + 1], inputs[b, o + 2] = p0 * BY_LENGTH, p1 * BY_LENGTH, p2 * BY_LENGTH
        o += 3
        for j in range(3):
            a0, a1, a2 = g.mat[t, b, 0, j], g.mat[t, b, 1, j], g.mat[t, b, 2, j]
            inputs[b, o + j] = h1 * a2 - h2 * a1
            inputs[b, o + 3 + j] = h2 * a0 - h0 * a2
            inputs[b, o + 6 + j] = h0 * a1 - h1 * a0
        o += 9
        e = g.error_by_turn[t, b]
        for i in range(3):
            inputs[b, o + i] = e[i, 0] * h0 + e[i, 1] * h1 + e[i, 2] * h2
            inputs[b, o + 3 + i] = obj[t, b, i] * BY_LENGTH
            inputs[b, o + 6 + i] = 0.0


@kernel
def adjoint_of_inputs(t: int, x_bar: Array, obj_bar: Array, inputs_bar: Array, g: Geometry, c: Constants) -> None:
    """Adds to x_bar (B, n + 9 K) and obj_bar (B, 12) what `tangent_of_inputs` pulls inputs_bar (B, .) back to."""
    n_x, pairs = x_bar.shape[1], g.arm.shape[2]
    for b in range(x_bar.shape[0]):
        for i in range(n_x):
            x_bar[b, i] += inputs_bar[b, i] * c.x_scale[i]
        o = n_x
        for k in range(pairs):
            y0, y1, y2 = (
                inputs_bar[b, o] * BY_LENGTH,
                inputs_bar[b, o + 1] * BY_LENGTH,
                inputs_bar[b, o + 2] * BY_LENGTH,
            )
            adjoint_of_gap(t, b, k, y0, y1, y2, x_bar[b], obj_bar[b], g)
            o += 3
        for i in range(3):
            obj_bar[b, i] += (inputs_bar[b, o + i] + inputs_bar[b, o + 15 + i]) * BY_LENGTH
        o += 3
        for j in range(3):
            a0, a1, a2 = g.mat[t, b, 0, j], g.mat[t, b, 1, j], g.mat[t, b, 2, j]
            y0, y1, y2 = inputs_bar[b, o + j], inputs_bar[b, o + 3 + j], inputs_bar[b, o + 6 + j]
            obj_bar[b, 3] += a1 * y2 - a2 * y1
            obj_bar[b, 4] += a2 * y0 - a0 * y2
            obj_bar[b, 5] += a0 * y1 - a1 * y0
        o += 9
        for i in range(3):
            for j in range(3):
                obj_bar[b, 3 + j] += g.error_by_turn[t, b, i, j] * inputs_bar[b, o + i]


@kernel
def adjoint_of_gap(  # noqa: PLR0913 (numbers, because a small array costs more than its use)
    t: int, b: int, k: int, y0: float, y1: float, y2: float, x_bar: Array, obj_bar: Array, g: Geometry
) -> None:
    """Adds the adjoint of the gap of pair k, from the robot's point to the object's, in world axes."""
    pairs, n = g.arm.shape[2], g.jacobian.shape[4]
    r0, r1, r2 = g.arm[t, b, k, 0], g.arm[t, b, k, 1], g.arm[t, b, k, 2]
    obj_bar[0] += y0
    obj_bar[1] += y1
    obj_bar[2] += y2
    obj_bar[3] += r1 * y2 - r2 * y1
    obj_bar[4] += r2 * y0 - r0 * y2
    obj_bar[5] += r0 * y1 - r1 * y0
    jacobian, frame, mat = g.jacobian[t, b, k], g.frame_mat[t, b, k], g.mat[t, b]
    for j in range(n):
        x_bar[j] -= jacobian[0, j] * y0 + jacobian[1, j] * y1 + jacobian[2, j] * y2
    for j in range(3):
        x_bar[n + 3 * k + j] -= frame[0, j] * y0 + frame[1, j] * y1 + frame[2, j] * y2
        x_bar[n + 3 * pairs + 3 * k + j] += mat[0, j] * y0 + mat[1, j] * y1 + mat[2, j] * y2


@kernel
def tangent_of_step(t: int, x: Array, obj: Array, u: Array, d: Dynamics, c: Constants, n: int) -> None:
    """Tangents at t, x and u (T + 1, B, n + 9 K) and obj (T + 1, B, 12), to x[t + 1] and obj[t + 1]."""
    pairs, n_x = d.arm.shape[2], x.shape[2]
    h, inverse_mass, slow, slow_spin = c.numbers[0], c.numbers[1], c.numbers[2], c.numbers[3]
    for b in range(x.shape[1]):
        y = x[t + 1, b]
        for i in range(n_x):
            y[i] = x[t, b, i] + h * u[t, b, i] * c.u_scale[i]
        mat, w, turn, spun = d.mat[t, b], d.inverse_inertia[t, b], d.turn[t, b], d.turn_by_spin[t, b]
        h0, h1, h2 = obj[t, b, 3], obj[t, b, 4], obj[t, b, 5]
        a0, a1, a2 = d.torque[t, b, 0], d.torque[t, b, 1], d.torque[t, b, 2]
        t0, t1, t2 = h2 * a1 - h1 * a2, h0 * a2 - h2 * a0, h1 * a0 - h0 * a1
        f0 = f1 = f2 = x.dtype.type(0.0)
        for k in range(pairs):
            s, f = n + 3 * pairs + 3 * k, n + 6 * pairs + 3 * k
            r0, r1, r2 = d.arm[t, b, k, 0], d.arm[t, b, k, 1], d.arm[t, b, k, 2]
            q0, q1, q2 = d.force[t, b, k, 0], d.force[t, b, k, 1], d.force[t, b, k, 2]
            d0 = mat[0, 0] * y[s] + mat[0, 1] * y[s + 1] + mat[0, 2] * y[s + 2] + h1 * r2 - h2 * r1
            d1 = mat[1, 0] * y[s] + mat[1, 1] * y[s + 1] + mat[1, 2] * y[s + 2] + h2 * r0 - h0 * r2
            d2 = mat[2, 0] * y[s] + mat[2, 1] * y[s + 1] + mat[2, 2] * y[s + 2] + h0 * r1 - h1 * r0
            t0 += d1 * q2 - d2 * q1 + r1 * y[f + 2] - r2 * y[f + 1]
            t1 += d2 * q0 - d0 * q2 + r2 * y[f] - r0 * y[f + 2]
            t2 += d0 * q1 - d1 * q0 + r0 * y[f + 1] - r1 * y[f]
            f0 += y[f]
            f1 += y[f + 1]
            f2 += y[f + 2]
        a0, a1, a2 = d.spin_rate[t, b, 0], d.spin_rate[t, b, 1], d.spin_rate[t, b, 2]
        w0 = w[0, 0] * t0 + w[0, 1] * t1 + w[0, 2] * t2 + h1 * a2 - h2 * a1
        w1 = w[1, 0] * t0 + w[1, 1] * t1 + w[1, 2] * t2 + h2 * a0 - h0 * a2
        w2 = w[2, 0] * t0 + w[2, 1] * t1 + w[2, 2] * t2 + h0 * a1 - h1 * a0
        w0 = (obj[t, b, 9] + h * w0) * slow_spin
        w1 = (obj[t, b, 10] + h * w1) * slow_spin
        w2 = (obj[t, b, 11] + h * w2) * slow_spin
        v0 = (obj[t, b, 6] + h * inverse_mass * f0) * slow
        v1 = (obj[t, b, 7] + h * inverse_mass * f1) * slow
        v2 = (obj[t, b, 8] + h * inverse_mass * f2) * slow
        o = obj[t + 1, b]
        o[0], o[1], o[2] = obj[t, b, 0] + h * v0, obj[t, b, 1] + h * v1, obj[t, b, 2] + h * v2
        for i in range(3):
            o[3 + i] = turn[i, 0] * h0 + turn[i, 1] * h1 + turn[i, 2] * h2
            o[3 + i] += h * (spun[i, 0] * w0 + spun[i, 1] * w1 + spun[i, 2] * w2)
        o[6], o[7], o[8], o[9], o[10], o[11] = v0, v1, v2, w0, w1, w2


@kernel
def adjoint_of_step(t: int, x_bar: Array, obj_bar: Array, u_bar: Array, d: Dynamics, c: Constants, n: int) -> None:
    """Cotangents x_bar (B, n + 9 K), obj_bar (B, 12) at t + 1 to those at t, in place; u_bar[t] grows."""
    pairs, n_x = d.arm.shape[2], x_bar.shape[1]
    h, inverse_mass, slow, slow_spin = c.numbers[0], c.numbers[1], c.numbers[2], c.numbers[3]
    for b in range(x_bar.shape[0]):
        x, o = x_bar[b], obj_bar[b]
        mat, w, turn, spun = d.mat[t, b], d.inverse_inertia[t, b], d.turn[t, b], d.turn_by_spin[t, b]
        e0, e1, e2 = o[3], o[4], o[5]
        w0 = (o[9] + h * (spun[0, 0] * e0 + spun[1, 0] * e1 + spun[2, 0] * e2)) * slow_spin
        w1 = (o[10] + h * (spun[0, 1] * e0 + spun[1, 1] * e1 + spun[2, 1] * e2)) * slow_spin
        w2 = (o[11] + h * (spun[0, 2] * e0 + spun[1, 2] * e1 + spun[2, 2] * e2)) * slow_spin
        v0, v1, v2 = (o[6] + h * o[0]) * slow, (o[7] + h * o[1]) * slow, (o[8] + h * o[2]) * slow
        h0 = turn[0, 0] * e0 + turn[1, 0] * e1 + turn[2, 0] * e2
        h1 = turn[0, 1] * e0 + turn[1, 1] * e1 + turn[2, 1] * e2
        h2 = turn[0, 2] * e0 + turn[1, 2] * e1 + turn[2, 2] * e2
        q0, q1, q2 = h * w0, h * w1, h * w2
        a0 = w[0, 0] * q0 + w[1, 0] * q1 + w[2, 0] * q2
        a1 = w[0, 1] * q0 + w[1, 1] * q1 + w[2, 1] * q2
        a2 = w[0, 2] * q0 + w[1, 2] * q1 + w[2, 2] * q2
        t0, t1, t2 = d.torque[t, b, 0], d.torque[t, b, 1], d.torque[t, b, 2]
        s0, s1, s2 = d.spin_rate[t, b, 0], d.spin_rate[t, b, 1], d.spin_rate[t, b, 2]
        h0 += t2 * a1 - t1 * a2 + s1 * q2 - s2 * q1
        h1 += t0 * a2 - t2 * a0 + s2 * q0 - s0 * q2
        h2 += t1 * a0 - t0 * a1 + s0 * q1 - s1 * q0
        for k in range(pairs):
            s, f = n + 3 * pairs + 3 * k, n + 6 * pairs + 3 * k
            f0, f1, f2 = d.force[t, b, k, 0], d.force[t, b, k, 1], d.force[t, b, k, 2]
            r0, r1, r2 = d.arm[t, b, k, 0], d.arm[t, b, k, 1], d.arm[t, b, k, 2]
            g0, g1, g2 = f1 * a2 - f2 * a1, f2 * a0 - f0 * a2, f0 * a1 - f1 * a0
            h0 += r1 * g2 - r2 * g1
            h1 += r2 * g0 - r0 * g2
            h2 += r0 * g1 - r1 * g0
            x[f] += a1 * r2 - a2 * r1 + h * inverse_mass * v0
            x[f + 1] += a2 * r0 - a0 * r2 + h * inverse_mass * v1
            x[f + 2] += a0 * r1 - a1 * r0 + h * inverse_mass * v2
            for j in range(3):
                x[s + j] += mat[0, j] * g0 + mat[1, j] * g1 + mat[2, j] * g2
        for i in range(n_x):
            u_bar[t, b, i] += h * x[i] * c.u_scale[i]
        o[3], o[4], o[5], o[6], o[7], o[8], o[9], o[10], o[11] = h0, h1, h2, v0, v1, v2, w0, w1, w2
