"""Gravity compensation that acts with the actuators: where it is clamped or lost, and exact derivatives of that."""

import mujoco
import numpy as np
import pytest
from derivatives import assert_derivative, differentiate, is_smooth, smooth_parameters, step_map, tangent_between
from numpy.typing import NDArray
from parity import INTEGRATORS, assert_same_stages, assert_same_step, load, random_state

from gradgym import sim

Floats = NDArray[np.float64]
# joints of all kinds before and behind those whose compensation is clamped or lost, one tree on a mocap body; a site's
# motor makes it of one kind with the mechanisms of `transmission_models.py`
MECHANISM = """
<mujoco><option timestep="0.004" gravity=".4 -.3 -9.8"/><compiler autolimits="true"/>
<default><joint actuatorgravcomp="true"/></default><worldbody>
  <body mocap="true" pos=".3 .3 .2" quat=".9 .1 .2 .3"><geom size=".1"/>
    <body pos=".2 0 .1" gravcomp=".4" euler="10 20 30"><joint axis="0 1 .2" actuatorfrcrange="-.2 .2"/>
      <geom size=".08" pos=".1 0 0"/><body pos=".2 0 0" gravcomp="1.2"><joint type="slide" axis="1 0 .3"
      actuatorfrcrange="-1 2"/><joint axis="1 0 0"/><geom size=".07" pos="0 .1 0"/></body></body></body>
  <body pos="0 0 1" gravcomp=".5"><freejoint/><geom type="box" size=".1 .2 .1"/>
    <body pos=".3 0 0" euler="0 20 10" gravcomp=".3"><joint name="elbow" axis="0 1 0" actuatorfrcrange="-.2 .3"/>
      <geom size=".1" pos=".2 0 0"/>
      <body pos=".3 .1 0" gravcomp=".8"><joint name="ball" type="ball"/><geom size=".1" pos=".1 .1 0"/>
        <body pos=".1 0 0" euler="3 2 1" gravcomp=".4"><geom size=".05"/><site name="tip"/></body>
        <body pos=".1 .1 .1" gravcomp=".9"><joint axis="1 1 0"/><geom size=".06" pos="0 0 .1"/></body>
      </body></body></body>
</worldbody>{}</mujoco>"""
ACTUATORS = """<actuator><position joint="elbow" kp="3" kv=".2"/><motor joint="ball" gear="1 2 3"/>
  <motor site="tip" gear="1 0 0 0 0 0"/></actuator>"""
SLOWLY = [x if x != "RK4" else pytest.param(x, marks=pytest.mark.slow) for x in INTEGRATORS]


def mechanism(integrator: str, enabled: bool) -> sim.Model:
    """Where actuators are disabled MuJoCo does not compute them, and the compensation that is theirs is lost."""
    mj_model = load(MECHANISM.format(ACTUATORS), integrator).mj_model
    if not enabled:
        mj_model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_ACTUATION)
    return sim.Model.from_mujoco(mj_model)


def state_of(model: sim.Model, seed: int) -> tuple[sim.State, Floats]:
    state, ctrl = random_state(model, seed)
    return sim.State(*state[:3], *model.mocap_poses), ctrl


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("integrator", SLOWLY)
def test_forces_and_steps_equal_mujoco(integrator: str, enabled: bool) -> None:
    model, clamped = mechanism(integrator, enabled), 0
    for seed in range(5):
        state, ctrl = state_of(model, seed)
        if enabled:
            assert_same_stages(model, state, ctrl)
            low, high = model.jnt_actfrcrange[model.jnt_actfrclimited != 0].T
            force = sim.forward(model, state, ctrl).qfrc_actuator[model.jnt_dofadr[model.jnt_actfrclimited != 0]]
            clamped += int(np.sum((force <= low) | (force >= high)))
        assert_same_step(model, state, ctrl)
    assert clamped >= 5 or not enabled


def test_it_is_lost_without_actuators() -> None:
    model = load(MECHANISM.format(""))
    assert model.nu == 0
    for seed in range(2):
        state, ctrl = state_of(model, seed)
        assert_same_stages(model, state, ctrl)


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("integrator", SLOWLY)
def test_derivatives_equal_differences(integrator: str, enabled: bool) -> None:
    model, smooth, h = mechanism(integrator, enabled), set[str](), 1e-5
    for seed in range(3):
        rng, (state, ctrl) = np.random.default_rng(seed), state_of(model, seed)
        jac = sim.step_jacobian(model, state, ctrl)
        whole = np.hstack([jac.A, jac.B])
        direction, cotangent = rng.normal(size=whole.shape[1]), rng.normal(size=len(jac.A))
        found = differentiate(step_map(model), (state, ctrl), direction, h=1e-4)
        if is_smooth(found):
            assert_derivative(whole @ direction, found)
            smooth.add("state")
        smooth |= smooth_parameters(model, state, ctrl, ("body_mass", "body_pos", "body_ipos"), seed)
        gradient, along = sim.step_vjp(model, state, ctrl, cotangent, params=True), rng.normal(size=3)
        assert gradient.params is not None and gradient.mocap_pos is not None and gradient.mocap_quat is not None

        bent = [model.replace(gravity=model.gravity + s * h * along) for s in (-1, 1)]
        by_gravity = tangent_between(model, *(sim.step(m, state, ctrl) for m in bent)) / (2 * h)
        turned = [state.mocap_quat[0].copy() for _ in range(2)]
        for quat, s in zip(turned, (-h, h), strict=True):
            mujoco.mju_quatIntegrate(quat, along, s)
        ends = (sim.step(model, state._replace(mocap_quat=quat[None]), ctrl) for quat in turned)
        by_turn = tangent_between(model, *ends) / (2 * h)
        np.testing.assert_allclose(gradient.params["gravity"] @ along, cotangent @ by_gravity, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(gradient.mocap_quat[0] @ along, cotangent @ by_turn, rtol=1e-6, atol=1e-8)
    assert smooth == {"state", "body_mass", "body_pos", "body_ipos"}
