"""The simulator against mechanics in closed form; every tolerance follows from the integrator's order."""

import math

import mujoco
import numpy as np
import pytest
from parity import INTEGRATORS, random_state

from gradgym import sim

CHAIN = """
<mujoco>
  <option timestep="{timestep}" integrator="{integrator}"><flag contact="disable"/></option>
  <worldbody>
    <body><joint axis="0 1 0"/><geom type="capsule" size="0.05" fromto="0 0 0 0.5 0 0" mass="1"/>
      <body pos="0.5 0 0"><joint type="ball"/><geom type="capsule" size="0.04" fromto="0 0 0 0.4 0 0" mass="0.7"/>
        <body pos="0.4 0 0"><joint axis="0 0.6 0.8"/>
          <geom type="capsule" size="0.03" fromto="0 0 0 0.3 0 0" mass="0.4"/>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>"""
FLOATING_TREE = """
<mujoco>
  <option timestep="{timestep}" integrator="RK4" gravity="0 0 0"><flag contact="disable"/></option>
  <worldbody>
    <body><freejoint/><geom type="box" size="0.2 0.1 0.05" mass="2"/>
      <body pos="0.3 0 0"><joint type="ball"/><geom type="capsule" size="0.04" fromto="0 0 0 0.4 0 0.1" mass="0.7"/>
        <body pos="0.4 0 0.1"><joint axis="0 0.6 0.8"/>
          <geom type="capsule" size="0.03" fromto="0 0 0 0.3 0 0" mass="0.4"/>
        </body>
      </body>
      <body pos="-0.2 0 0"><joint type="slide" axis="0 1 0.2" stiffness="3"/>
        <geom type="sphere" size="0.08" mass="0.5"/>
      </body>
    </body>
  </worldbody>
</mujoco>"""


def energy(model: sim.Model, state: sim.State) -> float:
    """Kinetic plus potential energy, by MuJoCo."""
    data = mujoco.MjData(model.mj_model)
    data.qpos[:], data.qvel[:] = state.qpos, state.qvel
    mujoco.mj_forward(model.mj_model, data)
    mujoco.mj_energyPos(model.mj_model, data)
    mujoco.mj_energyVel(model.mj_model, data)
    return float(np.sum(data.energy))


def momenta(model: sim.Model, state: sim.State) -> np.ndarray:
    """Linear momentum and angular momentum about the world's origin, from velocities of centres of mass.

    p = sum m v,  L = sum x cross m v + R I R' w.
    """
    data = mujoco.MjData(model.mj_model)
    data.qpos[:], data.qvel[:] = state.qpos, state.qvel
    mujoco.mj_forward(model.mj_model, data)
    linear, angular = np.zeros(3), np.zeros(3)
    for b in range(1, model.nbody):
        velocity = np.zeros(6)  # of the centre of mass
        mujoco.mj_objectVelocity(model.mj_model, data, int(mujoco.mjtObj.mjOBJ_BODY), b, velocity, 0)
        axes = data.ximat[b].reshape(3, 3)
        momentum = model.body_mass[b] * velocity[3:]
        linear += momentum
        angular += np.cross(data.xipos[b], momentum) + axes @ (model.body_inertia[b] * (axes.T @ velocity[:3]))
    return np.concatenate([linear, angular])


def test_energy_of_an_undamped_chain_is_kept_to_the_order_of_runge_kutta() -> None:
    # Over a fixed time a method of order p errs by c h^p: halving h divides the error by 2^4.
    errors = []
    for timestep in (0.02, 0.01, 0.005, 0.0025):
        model = sim.Model.from_xml_string(CHAIN.format(timestep=timestep, integrator="RK4"))
        state, ctrl = random_state(model, 1)
        end = sim.step(model, state, ctrl, round(0.4 / timestep))
        errors.append(abs(energy(model, end) - energy(model, state)))
    assert errors[0] < 0.02
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    # Energy may converge faster than the state (odd error terms cancel), never slower.
    assert (orders > 3.7).all(), orders


@pytest.mark.parametrize(("integrator", "order"), [("Euler", 1), ("implicitfast", 1), ("RK4", 4)])
def test_state_converges_with_the_order_of_the_integrator(integrator: str, order: int) -> None:
    def end(timestep: float) -> sim.State:
        model = sim.Model.from_xml_string(CHAIN.format(timestep=timestep, integrator=integrator))
        state, ctrl = random_state(model, 1)
        return sim.step(model, state, ctrl, round(0.2 / timestep))

    exact = sim.Model.from_xml_string(CHAIN.format(timestep=1e-4, integrator="RK4"))
    reference = sim.step(exact, *random_state(exact, 1), 2000)
    errors = [np.abs(np.concatenate(end(h)[:3]) - np.concatenate(reference[:3])).max() for h in (0.01, 0.005, 0.0025)]
    np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), order, atol=0.35)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_free_fall(integrator: str) -> None:
    # Constant acceleration g: v(t) = v0 + g t exactly. Positions of RK4: x0 + v0 t + g t^2 / 2 exactly; those of
    # the two semi-implicit methods use the new velocity, which adds g t h / 2.
    h, steps, gravity = 0.01, 50, np.array([0.3, -0.2, -9.8])
    text = f"""<mujoco><option timestep="{h}" integrator="{integrator}" gravity="0.3 -0.2 -9.8"/><worldbody>
      <body><freejoint/><inertial pos="0.1 0.2 -0.1" mass="3" diaginertia="0.1 0.2 0.25"/></body></worldbody>
      </mujoco>"""
    model = sim.Model.from_xml_string(text)
    start = model.initial_state()
    start = start._replace(qvel=np.array([1.0, 2.0, 3.0, 0.0, 0.0, 0.0]))
    end, t = sim.step(model, start, np.zeros(0), steps), steps * h
    np.testing.assert_allclose(end.qvel[:3], start.qvel[:3] + gravity * t, rtol=1e-13)
    lag = 0.0 if integrator == "RK4" else 0.5 * gravity * t * h
    np.testing.assert_allclose(end.qpos[:3], start.qvel[:3] * t + 0.5 * gravity * t**2 + lag, rtol=1e-13)
    np.testing.assert_allclose(end.qpos[3:], [1.0, 0.0, 0.0, 0.0], atol=1e-14)


def test_period_of_a_small_pendulum() -> None:
    # T = 2 pi sqrt(I / (m g l)) (1 + a^2 / 16 + ...), I about the pivot, amplitude a
    mass, length, moment, amplitude, h = 1.3, 0.6, 0.05, 0.02, 1e-3
    text = f"""<mujoco><option timestep="{h}" integrator="RK4" gravity="0 0 -9.8"/><worldbody>
      <body><joint axis="0 1 0"/><inertial pos="0 0 -{length}" mass="{mass}" diaginertia="0.05 {moment} 0.03"/></body>
      </worldbody></mujoco>"""
    model = sim.Model.from_xml_string(text)
    period = 2 * math.pi * math.sqrt((moment + mass * length**2) / (mass * 9.8 * length)) * (1 + amplitude**2 / 16)
    start = sim.State(np.array([amplitude]), np.zeros(1), np.zeros(0))
    steps = int(2.5 * period / h)
    angle = sim.rollout(model, start, np.zeros((steps, 0))).qpos[:, 0]
    crossings = np.flatnonzero((angle[:-1] > 0) & (angle[1:] <= 0))
    times = h * (crossings + angle[crossings] / (angle[crossings] - angle[crossings + 1]))
    assert times[1] - times[0] == pytest.approx(period, rel=1e-7)  # the series' next term: 11 a^4 / 3072 = 6e-10


def test_momentum_of_a_floating_tree_is_kept() -> None:
    # No outer force: p and L are constants. RK4 errs by h^4.
    drifts = []
    for timestep in (0.01, 0.005):
        model = sim.Model.from_xml_string(FLOATING_TREE.format(timestep=timestep))
        state, ctrl = random_state(model, 2)
        start = momenta(model, state)
        assert np.abs(start).min() > 0.05
        drifts.append(np.abs(momenta(model, sim.step(model, state, ctrl, round(0.3 / timestep))) - start).max())
    assert drifts[0] < 1e-5
    assert math.log2(drifts[0] / drifts[1]) > 3.7, drifts


def test_spinning_top_precesses_about_its_angular_momentum() -> None:
    # Torque-free symmetric top (I1 = I2): its axis turns about L at the rate |L| / I1 (Euler).
    text = """<mujoco><option timestep="0.002" integrator="RK4" gravity="0 0 0"/><worldbody>
      <body><freejoint/><inertial pos="0 0 0" mass="1" diaginertia="0.2 0.2 0.3"/></body></worldbody></mujoco>"""
    model = sim.Model.from_xml_string(text)
    spin = np.array([1.0, 0.0, 4.0])
    start = model.initial_state()._replace(qvel=np.concatenate([np.zeros(3), spin]))
    momentum = np.array([0.2, 0.2, 0.3]) * spin
    steps = 500
    end = sim.step(model, start, np.zeros(0), steps)
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, end.qpos[3:])
    angle, axis = np.linalg.norm(momentum) / 0.2 * 0.002 * steps, momentum / np.linalg.norm(momentum)
    top = np.array([0.0, 0.0, 1.0])
    turned = top * math.cos(angle) + np.cross(axis, top) * math.sin(angle) + axis * (axis @ top) * (1 - math.cos(angle))
    np.testing.assert_allclose(matrix.reshape(3, 3)[:, 2], turned, atol=1e-7)
