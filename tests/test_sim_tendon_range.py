"""Ranges of tendons' forces (actuatorfrcrange) that several actuators share: MuJoCo's steps, the exact adjoint."""

import mujoco
import numpy as np
import pytest
from derivatives import differentiate, is_smooth, smooth_parameters, step_map
from kernels import all_kernels
from parity import INTEGRATORS, assert_same_stages, assert_same_step, load, random_state, spoil_workspaces

from gradgym import sim
from gradgym.sim.kernels.binding import source_of
from gradgym.sim.pipeline.entry_points import entry_points

# A spatial and a fixed tendon, each with servos that have ranges of their own, and one with a tendon for itself.
ARM = """<mujoco><option timestep="0.004"/><worldbody><site name="wall" pos="-0.3 0.1 0.6"/>
  <body><joint name="a" axis="0 1 0" damping="0.1"/><geom type="capsule" size="0.05" fromto="0 0 0 0.5 0 0"/>
    <site name="s" pos="0.25 0.02 0.1"/>
    <body pos="0.5 0 0"><joint name="b" axis="0 1 0.3" armature="0.02" actuatorfrclimited="true"
      actuatorfrcrange="-2 2.5"/><geom type="capsule" size="0.05" fromto="0 0 0 0.5 0 0"/>
      <site name="t" pos="0.25 0.01 0.1"/>
      <body pos="0.5 0 0"><joint name="c" axis="0 0 1"/><geom type="capsule" size="0.05" fromto="0 0 0 0.3 0.1 0"/>
      </body></body></body></worldbody>
  <tendon>
    <spatial name="cord" actuatorfrclimited="true" actuatorfrcrange="-1.5 1">
      <site site="wall"/><site site="s"/><site site="t"/></spatial>
    <fixed name="mix" actuatorfrclimited="true" actuatorfrcrange="-2 1.6">
      <joint joint="a" coef="0.7"/><joint joint="b" coef="-0.4"/><joint joint="c" coef="1.1"/></fixed>
    <fixed name="own" actuatorfrclimited="true" actuatorfrcrange="-0.3 0.3"><joint joint="c" coef="1"/></fixed>
  </tendon>
  <actuator>
    <position tendon="cord" kp="8" kv="2" gear="1.3"/>
    <motor tendon="cord" gear="-0.8" forcerange="-0.6 0.7"/>
    <general tendon="cord" gaintype="affine" gainprm="1 0.5 -0.4" dyntype="filter" dynprm="0.05"/>
    <velocity tendon="mix" kv="1.5"/>
    <position tendon="mix" kp="2" gear="0.6" forcerange="-0.9 0.9"/>
    <intvelocity tendon="mix" kp="1.2" gear="1.7" actrange="-2 2"/>
    <general tendon="mix" gaintype="affine" gainprm="0.8 0.3 -0.5"/>
    <motor tendon="own"/>
  </actuator></mujoco>"""
ALL_INTEGRATORS = (*INTEGRATORS, "implicit")
CLAMPED = 6  # of the seeds' states, at least, have a tendon on its range


def states(model: sim.Model, count: int) -> list[tuple[sim.State, np.ndarray]]:
    return [(state, 2.5 * ctrl) for state, ctrl in (random_state(model, seed, 1.5) for seed in range(count))]


def tendons_on_range(model: sim.Model, state: sim.State, ctrl: np.ndarray) -> set[int]:
    """Tendons whose actuators together pull with all that is allowed."""
    m = model.mj_model
    free, d = model.replace(tendon_actfrcrange=np.tile([-1e9, 1e9], (m.ntendon, 1))).mj_model, None
    d = mujoco.MjData(free)
    free.actuator_forcelimited[:] = False
    d.qpos[:], d.qvel[:], d.act[:], d.ctrl[:] = state.qpos, state.qvel, state.act, ctrl
    mujoco.mj_forward(free, d)
    total = np.bincount(m.actuator_trnid[:, 0], d.actuator_force, m.ntendon)
    return set(np.flatnonzero((total < m.tendon_actfrcrange[:, 0]) | (total > m.tendon_actfrcrange[:, 1])).tolist())


@pytest.mark.parametrize("integrator", ALL_INTEGRATORS)
def test_steps_equal_mujoco(integrator: str) -> None:
    model, clamped = load(ARM, integrator), list[int]()
    for state, ctrl in states(model, 12):
        assert_same_stages(model, state, ctrl)
        assert_same_step(model, state, ctrl, 1e-10)
        clamped += tendons_on_range(model, state, ctrl)
    assert min(clamped.count(t) for t in range(3)) >= 3


@pytest.mark.parametrize("integrator", ALL_INTEGRATORS)
def test_gradients_equal_differences(integrator: str) -> None:
    model, rng, clamped = load(ARM, integrator), np.random.default_rng(7), 0
    for state, ctrl in states(model, 8):
        cotangent = rng.normal(size=2 * model.nv + model.na)
        spoil_workspaces(model, (1, False))
        gradient = sim.step_vjp(model, state, ctrl, cotangent)
        jacobian = sim.step_jacobian(model, state, ctrl)
        np.testing.assert_allclose(cotangent @ jacobian.A, gradient.state, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(cotangent @ jacobian.B, gradient.ctrl, rtol=1e-9, atol=1e-12)
        both = np.concatenate([gradient.state, gradient.ctrl])
        for _ in range(3):
            tangent = rng.normal(size=len(both))
            found = differentiate(step_map(model), (state, ctrl), tangent)
            if is_smooth(found):
                bound = 1e-6 * np.abs(cotangent) @ np.abs(found.value) + 10.0 * found.rounding
                assert abs(both @ tangent - cotangent @ found.value) <= bound
                clamped += bool(tendons_on_range(model, state, ctrl) & {0, 1})
    assert clamped >= CLAMPED


@pytest.mark.parametrize("integrator", ["Euler", "implicitfast"])
def test_parameter_gradients_equal_differences(integrator: str) -> None:
    model, names = load(ARM, integrator), ("actuator_gainprm", "actuator_biasprm", "actuator_gear", "body_pos")
    model = model.replace(actuator_gaintype=np.full(model.nu, int(mujoco.mjtGain.mjGAIN_AFFINE)))
    seen = list[str]()
    for k, (state, ctrl) in enumerate(states(model, 6)):
        smooth = smooth_parameters(model, state, ctrl, names, k)
        seen += smooth if tendons_on_range(model, state, ctrl) & {0, 1} else ()
    assert all(seen.count(name) >= 2 for name in names), seen


def test_ranges_that_nobody_shares_do_not_compile_it() -> None:
    alone = ARM.replace('name="cord" actuatorfrclimited="true"', 'name="cord"')
    alone = alone.replace('name="mix" actuatorfrclimited="true"', 'name="mix"')
    for text, expected in ((ARM, True), (alone.replace('actuatorfrcrange="-1.5 1"', ""), False)):
        if not expected:
            text = text.replace('actuatorfrcrange="-2 1.6"', "")
        names = {source_of(one).__name__ for one in all_kernels(entry_points(load(text)).rollout_adj)}
        assert any(name.startswith("shared_pull") for name in names) == expected
