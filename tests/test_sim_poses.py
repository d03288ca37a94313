"""Poses of bodies, geoms and sites: values against MuJoCo, derivatives by raw `qpos` against differences."""

from typing import Any

import mujoco
import numpy as np
import pytest
from derivatives import Map, assert_derivative, assert_error_falls_with_the_square, differentiate
from parity import GYMNASIUM_ASSETS, HAND_ASSETS, load, random_state, spoil_workspaces
from random_models import SMOOTH_MECHANISM, SMOOTH_QUATERNIONS, random_tree

from gradgym import sim
from gradgym.sim import poses

SOURCES: list[Any] = [SMOOTH_MECHANISM, random_tree(5, 8), random_tree(21, 12)]
SOURCES.extend([GYMNASIUM_ASSETS / "humanoid.xml", HAND_ASSETS / "manipulate_block.xml"])


def raw_configurations(model: sim.Model, count: int) -> np.ndarray:
    """Random qpos whose quaternions do not have unit length."""
    rng = np.random.default_rng(1)
    qpos = np.stack([random_state(model, seed)[0].qpos for seed in range(count)])
    for j in range(model.njnt):
        start = int(model.jnt_qposadr[j]) + (3 if model.jnt_type[j] == 0 else 0)
        if model.jnt_type[j] in (0, 1):
            qpos[:, start : start + 4] *= rng.uniform(0.5, 2.0, (count, 1))
    return qpos


def stacked(values: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([value.reshape(len(value), -1) for value in values], axis=1)


@pytest.fixture(params=range(len(SOURCES)))
def model(request: pytest.FixtureRequest) -> sim.Model:
    return load(SOURCES[request.param])


def test_values_are_mujocos(model: sim.Model) -> None:
    qpos = raw_configurations(model, 3)
    spoil_workspaces(model)
    found = dict(zip(poses.POSE_FIELDS, poses.evaluate(model, qpos), strict=True))
    for b in range(len(qpos)):
        data = mujoco.MjData(model.mj_model)
        data.qpos[:] = qpos[b]
        mujoco.mj_kinematics(model.mj_model, data)
        for name, value in found.items():
            np.testing.assert_allclose(value[b], getattr(data, name), atol=1e-13, err_msg=name)


def test_push_forward_is_the_derivative(model: sim.Model) -> None:
    qpos = raw_configurations(model, 1)
    all_poses = Map(lambda x: stacked(poses.evaluate(model, x[None]))[0], lambda x, t: x + t, lambda a, b: b - a)
    for direction in np.random.default_rng(2).normal(size=(5, model.nq)):
        spoil_workspaces(model)
        exact = stacked(poses.push_forward(model, qpos, direction[None]))[0]
        assert_derivative(exact, differentiate(all_poses, qpos[0], direction), tolerance=1e-8)


def test_error_of_differences_falls_with_the_square_of_their_step() -> None:
    model = load(SMOOTH_MECHANISM)
    qpos = raw_configurations(model, 1)
    all_poses = Map(lambda x: stacked(poses.evaluate(model, x[None]))[0], lambda x, t: x + t, lambda a, b: b - a)
    direction = np.random.default_rng(2).normal(size=model.nq)
    exact = stacked(poses.push_forward(model, qpos, direction[None]))[0]
    assert_error_falls_with_the_square(all_poses, qpos[0], direction, exact)


def test_pull_back_is_the_transpose_of_push_forward(model: sim.Model) -> None:
    count, rng = 4, np.random.default_rng(3)
    qpos = raw_configurations(model, count)
    rates = rng.normal(size=qpos.shape)
    pushed = poses.push_forward(model, qpos, rates)
    cotangents = [rng.normal(size=value.shape) for value in pushed]
    spoil_workspaces(model)
    gradient = poses.pull_back(model, qpos, cotangents)
    for b in range(count):
        terms = stacked(pushed)[b] * stacked(cotangents)[b]
        assert abs(terms.sum() - gradient.qpos[b] @ rates[b]) <= 1e-12 * np.abs(terms).sum()


def test_gradient_has_no_part_along_quaternions() -> None:
    # f(s q) = f(q), so q . df/dq = 0 (Euler's theorem on homogeneous functions of degree zero)
    model = load(SMOOTH_MECHANISM)
    qpos = raw_configurations(model, 1)
    cotangents = [np.random.default_rng(4).normal(size=value.shape) for value in poses.evaluate(model, qpos)]
    gradient = poses.pull_back(model, qpos, cotangents).qpos[0]
    for start in SMOOTH_QUATERNIONS:
        part = slice(start, start + 4)
        assert np.abs(gradient[part]).max() > 0.1
        assert abs(qpos[0, part] @ gradient[part]) < 1e-12
