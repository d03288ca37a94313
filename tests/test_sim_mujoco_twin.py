"""The MuJoCo twin against plain MuJoCo calls, and its Jacobians against differences of its steps."""

import threading
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from gradgym import sim
from gradgym.sim import Model, State, mujoco_differences, mujoco_twin

MECHANISM = """
<mujoco>
  <option timestep="0.004" integrator="{integrator}"/>
  <worldbody>
    <body pos="0 0 1">
      <freejoint/>
      <geom type="box" size="0.2 0.1 0.05" contype="0" conaffinity="0"/>
      <body pos="0.2 0 0">
        <joint name="ball" type="ball" damping="0.1"/>
        <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.03" contype="0" conaffinity="0"/>
        <body pos="0.3 0 0">
          <joint name="hinge" axis="0 1 0" stiffness="2" damping="0.2" armature="0.01"/>
          <geom type="capsule" fromto="0 0 0 0.2 0 0" size="0.02" contype="0" conaffinity="0"/>
          <site name="tip" pos="0.2 0 0"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="hinge" gear="3" ctrllimited="true" ctrlrange="-1 1"/>
    <general joint="hinge" dyntype="filter" dynprm="0.05" gainprm="2"/>
  </actuator>
</mujoco>"""
INTEGRATORS = ("Euler", "implicitfast", "RK4")


@pytest.fixture(params=INTEGRATORS)
def model(request: pytest.FixtureRequest) -> Model:
    return Model.from_xml_string(MECHANISM.format(integrator=request.param))


def random_states(model: Model, *batch: int, seed: int = 0) -> tuple[State, np.ndarray]:
    rng = np.random.default_rng(seed)
    qpos = np.empty((*batch, model.nq))
    for index in np.ndindex(*batch):
        qpos[index] = model.initial_state().qpos
        mujoco.mj_integratePos(model.mj_model, qpos[index], rng.normal(size=model.nv), 1.0)
    state = State(qpos, rng.normal(size=(*batch, model.nv)), rng.normal(size=(*batch, model.na)))
    return state, rng.uniform(-0.9, 0.9, (*batch, model.nu))


def plain_mujoco(model: Model, state: State, ctrl: np.ndarray, n_steps: int) -> np.ndarray:
    data = mujoco.MjData(model.mj_model)
    data.qpos[:], data.qvel[:], data.act[:], data.ctrl[:] = *state[:3], ctrl
    for _ in range(n_steps):
        mujoco.mj_step(model.mj_model, data)
    return np.concatenate([data.qpos, data.qvel, data.act])


def test_step_is_mj_step(model: sim.Model) -> None:
    state, ctrl = random_states(model, 2, 3)
    result = mujoco_twin.step(model, state, ctrl, n_steps=4)
    assert result.qpos.shape == (2, 3, model.nq)
    for index in np.ndindex(2, 3):
        expected = plain_mujoco(model, State(*(x[index] for x in state[:3])), ctrl[index], 4)
        np.testing.assert_array_equal(np.concatenate([x[index] for x in result[:3]]), expected)


def test_single_state_needs_no_batch_axis(model: sim.Model) -> None:
    state, ctrl = random_states(model)
    result = mujoco_twin.step(model, state, ctrl)
    np.testing.assert_array_equal(np.concatenate(result[:3]), plain_mujoco(model, state, ctrl, 1))


def test_forward_is_mj_forward(model: sim.Model) -> None:
    state, ctrl = random_states(model, 2)
    result = mujoco_twin.forward(model, state, ctrl)
    data = mujoco.MjData(model.mj_model)
    data.qpos[:], data.qvel[:], data.act[:], data.ctrl[:] = *(x[1] for x in state[:3]), ctrl[1]
    mujoco.mj_forward(model.mj_model, data)
    for name in ("qacc", "xpos", "xquat", "site_xpos", "geom_xpos", "qfrc_bias", "qfrc_passive", "qfrc_actuator"):
        np.testing.assert_array_equal(getattr(result, name)[1], getattr(data, name))


def test_rollout_repeats_step(model: sim.Model) -> None:
    state, _ = random_states(model, 2)
    ctrls = np.random.default_rng(1).uniform(-1, 1, (2, 5, model.nu))
    trajectory = mujoco_twin.rollout(model, state, ctrls, 2)
    assert trajectory.qpos.shape == (2, 6, model.nq)
    for t in range(5):
        after = mujoco_twin.step(model, trajectory.state(t), ctrls[:, t], 2)
        for name in State._fields[:3]:
            np.testing.assert_array_equal(getattr(trajectory, name)[:, t + 1], getattr(after, name))


def difference(model: Model, low: State, high: State, width: float) -> np.ndarray:
    dqpos = np.empty(model.nv)
    mujoco.mj_differentiatePos(model.mj_model, dqpos, width, low.qpos, high.qpos)
    return np.concatenate([dqpos, (high.qvel - low.qvel) / width, (high.act - low.act) / width])


def moved(model: Model, state: State, tangent: np.ndarray) -> State:
    qpos, nv = state.qpos.copy(), model.nv
    mujoco.mj_integratePos(model.mj_model, qpos, tangent[:nv].copy(), 1.0)
    return State(qpos, state.qvel + tangent[nv : 2 * nv], state.act + tangent[2 * nv :])


@pytest.mark.parametrize("n_steps", [1, 3])
def test_jacobian_is_the_derivative_of_step(model: sim.Model, n_steps: int) -> None:
    # Along random directions and with another step than the twin's own (1e-6): errors do not cancel.
    state, ctrl = random_states(model)
    A, B = mujoco_twin.step_jacobian(model, state, ctrl, n_steps)
    assert A.shape == (2 * model.nv + model.na,) * 2
    rng, h = np.random.default_rng(2), 3e-5
    for _ in range(4):
        dx, du = rng.normal(size=A.shape[0]), rng.normal(size=model.nu)
        ends = [mujoco_twin.step(model, moved(model, state, s * h * dx), ctrl + s * h * du, n_steps) for s in (-1, 1)]
        expected = difference(model, ends[0], ends[1], 2 * h)
        np.testing.assert_allclose(A @ dx + B @ du, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def test_rk4_differences_agree_with_mujoco_on_a_model_it_can_difference() -> None:
    euler = Model.from_xml_string(MECHANISM.format(integrator="Euler"))
    state, ctrl = random_states(euler)
    expected = mujoco_twin.step_jacobian(euler, state, ctrl)
    data = mujoco.MjData(euler.mj_model)
    data.qpos[:], data.qvel[:], data.act[:], data.ctrl[:] = *state[:3], ctrl
    point = mujoco_differences.Point(euler.mj_model, data)
    columns = [point.state_column(data, i) for i in range(2 * euler.nv + euler.na)]
    np.testing.assert_allclose(np.stack(columns, axis=1), expected.A, atol=1e-8)
    columns = [point.ctrl_column(data, i) for i in range(euler.nu)]
    np.testing.assert_allclose(np.stack(columns, axis=1), expected.B, atol=1e-8)


@pytest.mark.parametrize(("ctrl", "share"), [(0.3, 1.0), (1.0, 1.0), (-1.0, 1.0), (1.5, 0.0)])
def test_control_limit_counts_from_the_inside(model: sim.Model, ctrl: Any, share: float) -> None:
    state, _ = random_states(model)
    just_inside = np.array([np.clip(ctrl, -0.9999, 0.9999), 0.0])
    inside = mujoco_twin.step_jacobian(model, state, just_inside).B[:, 0]
    at_limit = mujoco_twin.step_jacobian(model, state, np.array([ctrl, 0.0])).B[:, 0]
    np.testing.assert_allclose(at_limit, share * inside, atol=2e-6)


def test_vjp_is_the_transposed_jacobian(model: sim.Model) -> None:
    state, ctrl = random_states(model, 3)
    cotangent = np.random.default_rng(3).normal(size=(3, 2 * model.nv + model.na))
    jacobian = mujoco_twin.step_jacobian(model, state, ctrl, 2)
    gradient = mujoco_twin.step_vjp(model, state, ctrl, cotangent, 2)
    np.testing.assert_allclose(gradient.state, np.einsum("bi,bij->bj", cotangent, jacobian.A), atol=1e-13)
    np.testing.assert_allclose(gradient.ctrl, np.einsum("bi,bij->bj", cotangent, jacobian.B), atol=1e-13)


def test_rollout_vjp_is_the_derivative_of_rollout(model: sim.Model) -> None:
    state, _ = random_states(model)
    rng, h, nx = np.random.default_rng(4), 1e-5, 2 * model.nv + model.na
    ctrls = rng.uniform(-0.9, 0.9, (4, model.nu))
    cotangents = rng.normal(size=(5, nx))
    trajectory = mujoco_twin.rollout(model, state, ctrls, 2)
    gradient = mujoco_twin.rollout_vjp(model, trajectory, cotangents)
    dx, du = rng.normal(size=nx), rng.normal(size=ctrls.shape)
    ends = [mujoco_twin.rollout(model, moved(model, state, s * h * dx), ctrls + s * h * du, 2) for s in (-1, 1)]
    expected = sum(cotangents[t] @ difference(model, ends[0].state(t), ends[1].state(t), 2 * h) for t in range(5))
    assert gradient.state0 @ dx + np.sum(gradient.ctrls * du) == pytest.approx(expected, rel=1e-6)


def test_equal_inputs_give_equal_outputs_whatever_came_before(model: sim.Model) -> None:
    state, ctrl = random_states(model)
    other, other_ctrl = random_states(model, seed=7)
    first = mujoco_twin.step(model, state, ctrl)
    for _ in range(20):
        mujoco_twin.step(model, other, other_ctrl, 3)
        mujoco_twin.step_jacobian(model, other, other_ctrl)
        again = mujoco_twin.step(model, state, ctrl)
        np.testing.assert_array_equal(np.concatenate(first[:3]), np.concatenate(again[:3]))


def test_threads_do_not_share_workspaces(model: sim.Model) -> None:
    state, ctrl = random_states(model)
    expected = mujoco_twin.step(model, state, ctrl, 200)
    found: list[State] = []
    threads = [threading.Thread(target=lambda: found.append(mujoco_twin.step(model, state, ctrl, 200))) for _ in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in found:
        np.testing.assert_array_equal(np.concatenate(result[:3]), np.concatenate(expected[:3]))
    assert len(found) == 4


def test_divergence_is_visible_and_not_reset_away(
    model: sim.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings to a file in the current directory
    state, ctrl = random_states(model)
    fast = state._replace(qvel=np.full(model.nv, 1e9))
    result = mujoco_twin.step(model, fast, ctrl, 5)
    assert not (np.abs(np.concatenate(result[:3])) < 1e10).all()
    assert not int(model.mj_model.opt.disableflags) & int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)


def test_wrong_shapes_are_named(model: sim.Model) -> None:
    state, ctrl = random_states(model)
    with pytest.raises(ValueError, match=rf"state.qvel has shape \(3,\), expected \(..., {model.nv}\)"):
        mujoco_twin.step(model, state._replace(qvel=np.zeros(3)), ctrl)
    with pytest.raises(ValueError, match="ctrls has shape"):
        mujoco_twin.rollout(model, state, ctrl)
    with pytest.raises(ValueError, match="params=True"):
        mujoco_twin.step_vjp(model, state, ctrl, np.zeros(2 * model.nv + model.na), params=True)
