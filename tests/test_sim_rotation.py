"""Rotations, their Jacobians and adjoints, against matrix power series and MuJoCo's own functions."""

import math
from typing import Any

import mujoco
import numpy as np
import pytest
from derivatives import Map, assert_error_falls_with_the_square, differentiate
from parity import random_state
from random_models import SMOOTH_MECHANISM

from gradgym import sim
from gradgym.sim.dynamics.integrate import integrate_pos, integrate_pos_adj
from gradgym.sim.kernels import rotation
from gradgym.sim.tangent import integrate_pos as integrate_pos_numpy

# Around every threshold between series and closed form, near the half turn, and (where allowed) beyond.
ANGLES = [0.0, 1e-9, 1e-4, 0.00999, 0.01001, 0.0999, 0.1001, 0.5, 2.0, 3.0, math.pi - 1e-3]
TOLERANCE = 5e-13  # closed forms lose at most the square of 0.01 (series start below), 1e-16 / 1e-4 = 1e-12


def rotation_vector(angle: float, seed: int = 0) -> np.ndarray:
    axis = np.random.default_rng(seed).normal(size=3)
    return angle * axis / np.linalg.norm(axis)


def cross_matrix(phi: np.ndarray) -> np.ndarray:
    x, y, z = phi
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def right_jacobian_series(phi: np.ndarray) -> np.ndarray:
    """Jr(phi) = sum over k of (-[phi]x)^k / (k + 1)!, which converges for every angle (Solà et al. 2018, eq. 143)."""
    term, total = np.eye(3), np.eye(3)
    for k in range(1, 60):
        term = term @ -cross_matrix(phi) / (k + 1)
        total = total + term
    return total


def as_matrix(kernel: Any, phi: np.ndarray) -> np.ndarray:
    return np.array([kernel(tuple(phi), tuple(unit)) for unit in np.eye(3)]).T


@pytest.mark.parametrize("angle", [*ANGLES, 4.0, 6.0])
def test_right_jacobian(angle: float) -> None:
    phi = rotation_vector(angle)
    expected = right_jacobian_series(phi)
    np.testing.assert_allclose(as_matrix(rotation.right_jacobian_t, phi).T, expected, atol=TOLERANCE)
    np.testing.assert_allclose(as_matrix(rotation.right_jacobian_t, phi), expected.T, atol=TOLERANCE)


@pytest.mark.parametrize("angle", ANGLES)
def test_inverse_of_right_jacobian(angle: float) -> None:
    phi = rotation_vector(angle)
    expected = np.linalg.inv(right_jacobian_series(phi))
    np.testing.assert_allclose(as_matrix(rotation.right_jacobian_inv, phi), expected, atol=TOLERANCE)
    np.testing.assert_allclose(as_matrix(rotation.right_jacobian_inv_t, phi), expected.T, atol=TOLERANCE)


@pytest.mark.parametrize("angle", ANGLES)
def test_adjoint_of_the_inverse_of_right_jacobian(angle: float) -> None:
    phi = rotation_vector(angle)
    rng = np.random.default_rng(1)
    v, g = rng.normal(size=(2, 3))
    gradient = np.array(rotation.right_jacobian_inv_adj(tuple(phi), tuple(v), tuple(g)))
    product = Map(
        lambda x: np.array([g @ np.linalg.solve(right_jacobian_series(x), v)]),
        lambda x, t: x + t,
        lambda a, b: b - a,
    )
    h = min(1e-2, 0.1 * (math.pi - angle))
    for direction in np.eye(3):
        found = differentiate(product, phi, direction, h)
        np.testing.assert_allclose(gradient @ direction, found.value[0], rtol=0, atol=1e-8)


@pytest.mark.parametrize("angle", [0.0, 0.5, 2.0])
def test_adjoint_of_the_inverse_of_right_jacobian_is_the_limit_of_differences(angle: float) -> None:
    phi = rotation_vector(angle)
    v, g = np.random.default_rng(2).normal(size=(2, 3))
    gradient = np.array(rotation.right_jacobian_inv_adj(tuple(phi), tuple(v), tuple(g)))
    product = Map(
        lambda x: np.array([np.dot(g, rotation.right_jacobian_inv(tuple(x), tuple(v)))]),
        lambda x, t: x + t,
        lambda a, b: b - a,
    )
    direction = np.array([0.3, -0.5, 0.8])
    assert_error_falls_with_the_square(product, phi, direction, np.array([gradient @ direction]))


@pytest.mark.parametrize("angle", ANGLES)
def test_exponential_and_logarithm_are_mujocos(angle: float) -> None:
    phi = rotation_vector(angle)
    expected = np.array([1.0, 0.0, 0.0, 0.0])
    mujoco.mju_quatIntegrate(expected, phi, 1.0)
    quat = np.array(rotation.quat_exp(tuple(phi)))
    np.testing.assert_allclose(quat, expected, atol=1e-15)
    for sign in (1.0, -1.0):  # both quaternions of a rotation have the same, shortest rotation vector
        np.testing.assert_allclose(rotation.quat_log(tuple(sign * quat)), phi, atol=1e-12)
        velocity = np.empty(3)
        mujoco.mju_quat2Vel(velocity, sign * quat, 1.0)
        np.testing.assert_allclose(rotation.quat_log(tuple(sign * quat)), velocity, atol=1e-12)


def test_products_matrices_and_rotations_are_mujocos() -> None:
    rng = np.random.default_rng(3)
    a, b, v = rng.normal(size=4), rng.normal(size=4), rng.normal(size=3)
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    quat, matrix, turned = np.empty(4), np.empty(9), np.empty(3)
    mujoco.mju_mulQuat(quat, a, b)
    np.testing.assert_allclose(rotation.quat_mul(tuple(a), tuple(b)), quat, atol=1e-15)
    mujoco.mju_quat2Mat(matrix, a)
    np.testing.assert_allclose(rotation.quat_to_mat(tuple(a)), matrix, atol=1e-15)
    mujoco.mju_rotVecQuat(turned, v, a)
    np.testing.assert_allclose(rotation.quat_rotate(tuple(a), tuple(v)), turned, atol=1e-15)


@pytest.mark.parametrize("scale", [1.0, 0.02])
def test_configurations_move_as_mj_integrate_pos(scale: float) -> None:
    model = sim.Model.from_xml_string(SMOOTH_MECHANISM)
    state, _ = random_state(model, 0)
    shift = np.random.default_rng(1).normal(size=model.nv)
    expected, found = state.qpos.copy(), np.full(model.nq, np.nan)
    mujoco.mj_integratePos(model.mj_model, expected, shift, scale)
    integrate_pos(model, found, state.qpos, shift, scale)
    np.testing.assert_allclose(found, expected, atol=1e-15)
    np.testing.assert_allclose(integrate_pos_numpy(model, state.qpos, scale * shift), expected, atol=1e-15)


def test_adjoint_of_moving_a_configuration() -> None:
    model = sim.Model.from_xml_string(SMOOTH_MECHANISM)
    state, _ = random_state(model, 0)
    rng, scale, nv = np.random.default_rng(1), 0.3, model.nv
    shift, cotangents = rng.normal(size=nv), rng.normal(size=(nv, 5))
    qpos_adj, shift_adj = cotangents.copy(), np.zeros((nv, 5))
    integrate_pos_adj(model, qpos_adj, shift_adj, shift, scale)

    def between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        out = np.empty(nv)
        mujoco.mj_differentiatePos(model.mj_model, out, 1.0, a, b)
        return out

    moved = Map(
        lambda x: integrate_pos_numpy(model, x[0], scale * x[1]),
        lambda x, t: (integrate_pos_numpy(model, x[0], t[:nv]), x[1] + t[nv:]),
        between,
    )
    for direction in rng.normal(size=(6, 2 * nv)):
        found = differentiate(moved, (state.qpos, shift), direction)
        exact = direction[:nv] @ qpos_adj + direction[nv:] @ shift_adj
        np.testing.assert_allclose(exact, found.value @ cotangents, atol=1e-9)
