"""The linear-quadratic problem along a path, by dynamic programming from its end (Li and Todorov 2004)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Expansion(NamedTuple):
    """A path of T steps with nx state and nu control directions, and the second-order model of its return."""

    A: Floats  # (T, nx, nx), next state by state
    B: Floats  # (T, nx, nu), next state by control
    by_state: Floats  # (T, nx), of each step's reward, what it makes of the next state included
    by_control: Floats  # (T, nu), likewise
    state_curvature: Floats  # (T + 1, nx, nx), of the rewards on both sides of each state
    control_curvature: Floats  # (T, nu, nu)


class Feedback(NamedTuple):
    """Changes of the controls along a path."""

    change: Floats  # (T, nu), of the whole step
    gain: Floats  # (T, nu, nx), by the distance from the path


def solve(model: Expansion, damping: float) -> Feedback:
    """The controls that maximise the model; `damping` is added to what bends each step's controls.

    Curvatures are negative semi-definite (`concave`), the damping positive; so there is a maximum.
    """
    steps, nx, nu = model.B.shape
    change, gain = np.zeros((steps, nu)), np.zeros((steps, nu, nx))
    slope, curvature = np.zeros(nx), model.state_curvature[-1]
    damped = damping * np.eye(nu)
    for t in reversed(range(steps)):
        A, B = model.A[t], model.B[t]
        q_x, q_u = model.by_state[t] + A.T @ slope, model.by_control[t] + B.T @ slope
        through = curvature @ A
        q_xx, q_ux = model.state_curvature[t] + A.T @ through, B.T @ through
        q_uu = model.control_curvature[t] + B.T @ curvature @ B
        found = np.linalg.solve(damped - q_uu, np.column_stack([q_u, q_ux]))
        k, K = found[:, 0], found[:, 1:]
        change[t], gain[t] = k, K
        slope = q_x + K.T @ (q_uu @ k + q_u) + q_ux.T @ k
        curvature = q_xx + K.T @ q_uu @ K + K.T @ q_ux + q_ux.T @ K
        curvature = 0.5 * (curvature + curvature.T)
    return Feedback(change, gain)


def concave(matrices: Floats) -> Floats:
    """Symmetric matrices (N, n, n) without their positive eigenvalues."""
    result = np.zeros_like(matrices)
    rows = np.flatnonzero(np.abs(matrices).max((1, 2)) > 0.0)
    values, vectors = np.linalg.eigh(matrices[rows])
    result[rows] = (vectors * np.minimum(values, 0.0)[:, None]) @ vectors.swapaxes(1, 2)
    return result
