"""Spatial tendons against MuJoCo and differences: paths, forces, limits, equalities, armature, actuators."""

from collections import Counter

import mujoco
import numpy as np
import pytest
from derivatives import assert_constrained_step, differentiate, is_smooth, smooth_parameters
from driven import Drive, sizes
from driven import step_map as driven_step_map
from numpy.typing import NDArray
from parity import (
    INTEGRATORS,
    assert_same_rows,
    assert_same_step,
    mujoco_data,
    random_state,
    spoil_workspaces,
    stage_error,
)
from tendon_models import random_spatial, spatial_model

from gradgym import sim
from gradgym.sim.dynamics.spatial_tendon import path_piece
from gradgym.sim.dynamics.tendon_wrap import AROUND, STRAIGHT, THE_OTHER_WAY, THROUGH
from gradgym.sim.model.data import Data
from gradgym.sim.model.workspaces import workspace
from gradgym.sim.pipeline.entry_points import entry_points
from gradgym.sim.pipeline.parts import parts_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
EQUALITY, FRICTION_TENDON, LIMIT_TENDON = 0, 2, 4  # mjtConstraint
# Runge-Kutta and models without constraints compile another step each
SLOWLY = [x if x != "RK4" else pytest.param(x, marks=pytest.mark.slow) for x in INTEGRATORS]


def forward_data(model: sim.Model, state: sim.State, ctrl: Floats) -> Data:
    with workspace(model) as data:
        data.qpos[:], data.qvel[:], data.act[:], data.ctrl[:] = *state[:3], ctrl
        data.mocap_pos[:], data.mocap_quat[:] = model.mocap_poses
        data.qacc_warmstart[:] = 0.0
        entry_points(model).forward(model, data)
        return data


def full_arms(rowadr: Ints, rownnz: Ints, colind: Ints, values: Floats, nv: int) -> Floats:
    """ten_J with a column for every degree of freedom."""
    full = np.zeros((len(rowadr), nv))
    for row, begin, count in zip(full, rowadr, rownnz, strict=True):
        row[colind[begin : begin + count]] = values[begin : begin + count]
    return full


def test_paths_equal_mujoco() -> None:
    """Lengths, moment arms and velocities; MuJoCo finds the point inside a geom to 1e-6 of an angle only."""
    kinds = Counter[int]()
    for seed in range(60):
        model = random_spatial(seed)
        state, ctrl = random_state(model, seed)
        ours, theirs, m = forward_data(model, state, ctrl), mujoco_data(model, state, ctrl), model.mj_model
        mujoco.mj_forward(m, theirs)
        here = Counter(path_piece(model, ours, p)[2] for p in range(model.npiece))
        kinds += here
        tolerance = 1e-6 if here[THROUGH] else 1e-12
        own = model.ten_J_rowadr, model.ten_J_rownnz, model.shift_id
        arms = full_arms(*own, ours.ten_J, model.nv)
        expected = full_arms(m.ten_J_rowadr, m.ten_J_rownnz, m.ten_J_colind, theirs.ten_J, model.nv)
        assert stage_error(theirs.ten_length, ours.ten_length) < 1e-12
        assert stage_error(expected, arms) < tolerance
        assert stage_error(theirs.ten_velocity, ours.ten_velocity) < tolerance
    assert min(kinds[kind] for kind in (STRAIGHT, AROUND, THE_OTHER_WAY, THROUGH)) >= 15, kinds


@pytest.mark.parametrize("integrator", SLOWLY)
def test_rows_and_steps_equal_mujoco(integrator: str) -> None:
    kinds = set[int]()
    for seed in range(20):
        model = random_spatial(seed, integrator, inside=False)
        state, ctrl = random_state(model, seed, speed=1.5)
        kinds |= set(assert_same_rows(model, state, ctrl))
        # the solution may be off by the solver's tolerance, see test_sim_contact.py
        assert_same_step(model, state, ctrl, 1e-6)
    assert {EQUALITY, FRICTION_TENDON, LIMIT_TENDON} <= kinds


@pytest.mark.parametrize("integrator", SLOWLY)
def test_jacobian_and_vjp_equal_differences(integrator: str) -> None:
    smooth = 0
    for seed in range(12):
        model = random_spatial(seed, integrator)
        state, ctrl = random_state(model, seed, speed=1.5)
        smooth += assert_constrained_step(model, state, ctrl, seed)
    assert smooth >= 30


@pytest.mark.parametrize("integrator", SLOWLY)
def test_gradients_by_mocap_poses_and_parameters_equal_differences(integrator: str) -> None:
    """Both move what the tendons run along; parameters also are what scales their actuators."""
    smooth, names = 0, ("body_mass", "body_pos", "dof_damping", "actuator_gear", "actuator_gainprm")
    seen = Counter[str]()
    for seed in range(6):
        model, rng = random_spatial(seed, integrator), np.random.default_rng(seed)
        state, ctrl = random_state(model, seed, speed=1.5)
        pos, quat = model.mocap_poses
        state = state._replace(mocap_pos=pos, mocap_quat=quat)
        seen.update(smooth_parameters(model, state, ctrl, names, seed))
        drive = Drive(state, ctrl, np.zeros(model.nv), np.zeros((model.nbody, 6)))
        cotangent = rng.normal(size=2 * model.nv + model.na)
        spoil_workspaces(model, (1, False))
        gradient = sim.step_vjp(model, state, ctrl, cotangent)
        for part, found in enumerate((gradient.mocap_pos.ravel(), gradient.mocap_quat.ravel()), start=2):
            tangent = [np.zeros(size) for size in sizes(model)]
            tangent[part] = rng.normal(size=found.size)
            difference = differentiate(driven_step_map(model), drive, np.concatenate(tangent), h=1e-5)
            if is_smooth(difference, 1e-5):
                bound = 1e-6 * np.abs(cotangent) @ np.abs(difference.value) + 10.0 * difference.rounding
                assert abs(found @ tangent[part] - cotangent @ difference.value) <= bound
                smooth += 1
    assert smooth >= 8
    assert all(seen[name] >= 4 for name in names), seen


@pytest.mark.slow
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_without_constraints(integrator: str) -> None:
    """The inertia matrix in place of the articulated-body algorithm, for armature; that algorithm without."""
    for seed in range(4):
        for armature in (0.0, 0.7):
            m = random_spatial(seed, integrator, inside=False).mj_model
            m.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONSTRAINT)
            m.tendon_armature[4] = armature
            model = sim.Model.from_mujoco(m)
            assert any(part.name == "matrix" for part in parts_of(model)) == (armature > 0.0)
            state, ctrl = random_state(model, seed, speed=1.5)
            assert_same_step(model, state, ctrl, 1e-8)
            assert assert_constrained_step(model, state, ctrl, seed) >= 1


@pytest.mark.parametrize("flag", ["limit", "frictionloss", "spring", "damper", "actuation"])
def test_flags_disable_what_mujoco_disables(flag: str) -> None:
    for seed in range(3):
        m = random_spatial(seed, inside=False).mj_model
        m.opt.disableflags |= int(getattr(mujoco.mjtDisableBit, f"mjDSBL_{flag.upper()}"))
        model = sim.Model.from_mujoco(m)
        state, ctrl = random_state(model, seed)
        assert_same_step(model, state, ctrl, 1e-6)


def test_tendons_that_exert_no_force_cost_nothing() -> None:
    path = '<site site="w0"/><geom geom="ball"/><site site="c0"/>'
    idle = spatial_model(f'<spatial name="t">{path}</spatial>')
    assert (idle.npiece, idle.nshift, idle.nbend) == (0, 0, 0)
    assert {"no_tendon", "no_spatial"} <= {part.name for part in parts_of(idle)}
    for field in ('stiffness="1"', 'damping="1"', 'frictionloss="1"', 'limited="true" range="0 1"'):
        assert spatial_model(f"<spatial {field}>{path}</spatial>").npiece == 1
    assert idle.replace(tendon_stiffness=np.ones(1)).npiece == 1


def test_ends_in_one_place_give_finite_numbers() -> None:
    model = spatial_model(
        '<spatial name="t" stiffness="3" springlength="0.1" damping="1"><site site="w0"/><site site="w2"/>'
        '<site site="a0"/><geom geom="ball"/><site site="a2"/><site site="a1"/></spatial>'
        '<spatial armature="0.1"><site site="a0"/><site site="a2"/><site site="b0"/></spatial>',
        rest='<equality><tendon tendon1="t" solref="0.1 1"/></equality>'
        '<actuator><muscle tendon="t" lengthrange="0 1" force="3"/></actuator>',
    )
    state, ctrl = random_state(model, 0)
    assert_same_step(model, state, ctrl, 1e-6)
    assert np.isfinite(sim.step_jacobian(model, state, ctrl).A).all()
