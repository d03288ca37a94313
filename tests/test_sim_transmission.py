"""Actuators whose moment arms move with the pose: MuJoCo's lengths and arms, and exact derivatives through them."""

import mujoco
import numpy as np
import pytest
from derivatives import assert_derivative, differentiate, is_smooth, smooth_parameters, step_map, tangent_between
from numpy.typing import NDArray
from parity import (
    INTEGRATORS,
    assert_same_stages,
    assert_same_step,
    load,
    mujoco_data,
    our_data,
    random_state,
    spoil_workspaces,
)
from transmission_models import ACTUATORS, DRONE, MECHANISM

from gradgym import sim
from gradgym.sim.pipeline.parts import parts_of

Floats = NDArray[np.float64]
# Runge-Kutta compiles another step
SLOWLY = [x if x != "RK4" else pytest.param(x, marks=pytest.mark.slow) for x in INTEGRATORS]


def model_of(name: str, integrator: str) -> sim.Model:
    return load(MECHANISM.format(ACTUATORS[name]), integrator)


def state_of(model: sim.Model, seed: int) -> tuple[sim.State, Floats]:
    """Any state, with the mocap poses written out: their gradients are asked for."""
    state, ctrl = random_state(model, seed)
    return sim.State(*state[:3], *model.mocap_poses), ctrl


@pytest.mark.parametrize("integrator", SLOWLY)
def test_forces_and_steps_equal_mujoco(integrator: str) -> None:
    for name in ACTUATORS:
        model = model_of(name, integrator)
        for seed in range(3):
            state, ctrl = state_of(model, seed)
            assert_same_stages(model, state, ctrl)
            assert_same_step(model, state, ctrl)


def test_moment_arms_equal_mujoco() -> None:
    for name in ACTUATORS:
        model = model_of(name, "Euler")
        state, ctrl = state_of(model, 3)
        ours, theirs, expected = our_data(model, state, ctrl), mujoco_data(model, state, ctrl), np.zeros((1, model.nv))
        mujoco.mj_forward(model.mj_model, theirs)
        sparse = (theirs.moment_rownnz, theirs.moment_rowadr, theirs.moment_colind)
        mujoco.mju_sparse2dense(expected, theirs.actuator_moment, *sparse)
        found = np.zeros(model.nv)
        found[model.moment_colind] = ours.actuator_moment
        np.testing.assert_allclose(found, expected[0], rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("integrator", SLOWLY)
def test_derivatives_equal_differences(integrator: str) -> None:
    smooth = 0
    for name in ACTUATORS:
        model = model_of(name, integrator)
        for seed in range(2):
            rng, (state, ctrl) = np.random.default_rng(seed), state_of(model, seed)
            jac = sim.step_jacobian(model, state, ctrl)
            whole, cotangent = np.hstack([jac.A, jac.B]), rng.normal(size=len(jac.A))
            direction = rng.normal(size=whole.shape[1])
            found = differentiate(step_map(model), (state, ctrl), direction)
            if is_smooth(found):
                assert_derivative(whole @ direction, found)
                smooth += 1
            spoil_workspaces(model, (1, False))
            vjp = sim.step_vjp(model, state, ctrl, cotangent)
            np.testing.assert_allclose(vjp.state, cotangent @ jac.A, rtol=0, atol=1e-11 * np.abs(whole).max())
            np.testing.assert_allclose(vjp.ctrl, cotangent @ jac.B, rtol=0, atol=1e-11 * np.abs(whole).max())
    assert smooth >= 2 * len(ACTUATORS) - 4


@pytest.mark.parametrize("integrator", SLOWLY)
def test_gradients_of_parameters_equal_differences(integrator: str) -> None:
    names = ("actuator_gear", "body_pos", "body_mass", "actuator_gainprm", "actuator_biasprm")
    smooth = []
    for name in ACTUATORS:
        model = model_of(name, integrator)
        smooth += smooth_parameters(model, *state_of(model, 1), names, 1)
    assert all(smooth.count(name) >= len(ACTUATORS) - 3 for name in names), smooth


def test_gradients_of_mocap_poses_equal_differences() -> None:
    for name in ("mocap reference", "of the mocap body", "carried by the mocap body", "mocap slider"):
        model, h = model_of(name, "Euler"), 1e-5
        (state, ctrl), rng = state_of(model, 0), np.random.default_rng(0)
        cotangent, along = rng.normal(size=2 * model.nv + model.na), rng.normal(size=3)
        gradient = sim.step_vjp(model, state, ctrl, cotangent)
        assert gradient.mocap_pos is not None and gradient.mocap_quat is not None

        def turned(s: float, quat: Floats = state.mocap_quat[0], along: Floats = along) -> Floats:
            out = quat.copy()
            mujoco.mju_quatIntegrate(out, along, s)
            return out[None]

        ways = [
            (gradient.mocap_pos[0], [state._replace(mocap_pos=state.mocap_pos + s * h * along) for s in (-1, 1)]),
            (gradient.mocap_quat[0], [state._replace(mocap_quat=turned(s * h)) for s in (-1, 1)]),
        ]
        for found, (before, after) in ways:
            ends = sim.step(model, before, ctrl), sim.step(model, after, ctrl)
            expected = cotangent @ tangent_between(model, *ends) / (2 * h)
            assert abs(expected) > 1e-4, "the pose must matter"
            np.testing.assert_allclose(found @ along, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("target", [0.4, 3.0, 3.6, 7.0, -9.0])
def test_servos_between_sites_take_the_shorter_way_round(target: float) -> None:
    # A purely rotational transmission lives on a circle, and so does the setpoint (MuJoCo 4).
    for servo in ('<position kp="2" kv="0.3" {}/>', '<position kp="2" {}/>', '<intvelocity kp="2" {}/>'):
        for gear in ("0 0 0 .3 -.2 .8", "0 0 .1 .3 -.2 .8"):
            model = load(MECHANISM.format(servo.format(f'site="other" refsite="world" gear="{gear}"')), "Euler")
            state, _ = state_of(model, 0)
            state = state._replace(act=np.full(model.na, target))
            assert_same_stages(model, state, np.full(model.nu, target))
            assert_same_step(model, state, np.full(model.nu, target))


def test_models_of_constant_moment_arms_compile_no_others() -> None:
    def names(model: sim.Model) -> set[str]:
        return {part.name for part in parts_of(model)}

    assert not names(model_of("jet", "Euler")) & {"no_moving_arms", "no_actuator_gravcomp"}
    plain = load(
        "<mujoco><worldbody><body><joint name='j'/><geom size='1'/></body></worldbody>"
        "<actuator><motor joint='j'/></actuator></mujoco>"
    )
    assert names(plain) >= {"no_moving_arms", "no_actuator_gravcomp", "no_adhesion"}


def drone() -> sim.Model:
    return sim.Model.from_xml_string(DRONE)


def test_a_drone_hovers_lifts_and_turns() -> None:
    model = drone()
    weight, state = 0.6 * 9.81, model.initial_state()
    hover = sim.step(model, state, np.full(4, weight / 4), 200)
    np.testing.assert_allclose(hover.qpos, state.qpos, atol=1e-12)
    # thrust sum f along the drone's z-axis: acceleration f / m - g
    lifted = sim.forward(model, state, np.full(4, 3.0)).qacc
    np.testing.assert_allclose(lifted, [0, 0, 12.0 / 0.6 - 9.81, 0, 0, 0], atol=1e-12)
    # drag .02 f of each rotor against the inertia m (a^2 + b^2) / 3 about z
    yaw = sim.forward(model, state, weight / 4 + np.array([1.0, -1.0, 1.0, -1.0])).qacc
    np.testing.assert_allclose(yaw, [0, 0, 0, 0, 0, 0.08 / (0.6 * 2 * 0.08**2 / 3)], atol=1e-11)
    # right rotor up, left one down: a torque of 2 * 0.14 against m (a^2 + c^2) / 3 about x, on the side of the left
    roll = sim.forward(model, state, weight / 4 + np.array([0.0, 1.0, 0.0, -1.0])).qacc
    np.testing.assert_allclose(roll, [0, 0, 0, 0.28 / (0.6 * (0.08**2 + 0.02**2) / 3), 0, 0], atol=1e-11)


def test_a_tilted_drone_is_pushed_where_it_leans() -> None:
    """Thrust turns with the body: at a pitch p it is f (sin p, 0, cos p), whose derivative by p the Jacobian has."""
    model, pitch, h = drone(), 0.3, 0.005
    state = model.initial_state()
    state.qpos[3:] = np.cos(pitch / 2), 0, np.sin(pitch / 2), 0
    thrust = np.full(4, 2.0)
    push = sim.forward(model, state, thrust).qacc[:3]
    np.testing.assert_allclose(push, [8 / 0.6 * np.sin(pitch), 0, 8 / 0.6 * np.cos(pitch) - 9.81], atol=1e-12)
    by_pitch = sim.step_jacobian(model, state, thrust).A[6:9, 4]
    np.testing.assert_allclose(by_pitch, [h * 8 / 0.6 * np.cos(pitch), 0, -h * 8 / 0.6 * np.sin(pitch)], atol=1e-12)


def test_a_crank_moves_as_its_length_says() -> None:
    """Arms of a slider-crank are its length's derivative: velocity by differences of the length."""
    model, h = model_of("crank", "Euler"), 1e-6
    for seed in range(3):
        state, ctrl = state_of(model, seed)
        lengths = []
        for s in (-h, h):
            qpos = state.qpos.copy()
            mujoco.mj_integratePos(model.mj_model, qpos, state.qvel, s)
            lengths.append(our_data(model, state._replace(qpos=qpos), ctrl).actuator_length[0])
        velocity = our_data(model, state, ctrl).actuator_velocity[0]
        np.testing.assert_allclose(velocity, (lengths[1] - lengths[0]) / (2 * h), rtol=1e-7)
