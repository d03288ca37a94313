"""Constraints against MuJoCo: contacts, rows, acceleration and force, on Gymnasium's own models.

Both sides at tight solver tolerance: what is left is rounding, amplified by stiff rows.
"""

from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest

from gradgym import sim

ASSETS = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
MODELS = ["ant", "half_cheetah", "hopper", "walker2d", "humanoid", "reacher", "inverted_double_pendulum"]
CONES = {"pyramidal": mujoco.mjtCone.mjCONE_PYRAMIDAL, "elliptic": mujoco.mjtCone.mjCONE_ELLIPTIC}
MIXED = """
<mujoco>
  <option timestep="0.005"/>
  <default><geom condim="{condim}" friction="0.7 0.02 0.003"/></default>
  <worldbody>
    <geom type="plane" size="5 5 .1" quat="0.99 0.05 0.1 0"/>
    <body pos="0 0 0.12"><freejoint/><geom type="sphere" size="0.12" solref="0.01 0.8"/></body>
    <body pos="0.1 0.05 0.3"><freejoint/><geom type="capsule" size="0.06 0.2" solimp="0.8 0.95 0.01 0.4 3"/></body>
    <body pos="-0.1 0.1 0.45"><freejoint/><geom type="capsule" size="0.05 0.15" euler="0 80 20" priority="1"/></body>
    <body pos="0.05 -0.05 0.6"><joint type="ball" range="0 0.6" limited="true" frictionloss="0.2"/>
      <geom type="sphere" size="0.08" pos="0.1 0 0" margin="0.02" gap="0.01"/>
      <body pos="0.2 0 0"><joint type="slide" axis="1 0 0" limited="true" range="-0.02 0.02" frictionloss="0.5"/>
        <geom type="capsule" size="0.04 0.1"/></body></body>
  </worldbody>
</mujoco>"""


def tight(spec: mujoco.MjSpec, cone: mujoco.mjtCone, integrator: int | None = None) -> mujoco.MjModel:
    """The model with Newton's method at a tolerance near rounding."""
    spec.option.cone, spec.option.solver = cone, mujoco.mjtSolver.mjSOL_NEWTON
    # MuJoCo also stops when the cost improves by less than this, long before the gradient is as small
    spec.option.tolerance, spec.option.iterations = 1e-16, 100
    spec.option.ls_iterations, spec.option.ls_tolerance = 100, 1e-9
    if integrator is not None:
        spec.option.integrator = integrator
    return spec.compile()


def visited_states(mj_model: mujoco.MjModel, count: int, seed: int):
    """States that random controls lead to, each with a control."""
    rng, d = np.random.default_rng(seed), mujoco.MjData(mj_model)
    for k in range(count):
        if k % 15 == 0:
            mujoco.mj_resetData(mj_model, d)
            d.qvel[:] = rng.normal(scale=0.5, size=mj_model.nv)
        d.ctrl[:] = rng.normal(size=mj_model.nu)
        mujoco.mj_step(mj_model, d, nstep=8)
        yield d


def assert_equal_forward(mj_model: mujoco.MjModel, count: int, seed: int = 0) -> int:
    """Contacts, force and acceleration at visited states; returns how many had active rows."""
    model, active = sim.Model.from_mujoco(mj_model), 0
    for d in visited_states(mj_model, count, seed):
        d.qacc_warmstart[:] = 0
        mujoco.mj_forward(mj_model, d)
        ours = sim.forward(model, sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy()), d.ctrl.copy())
        assert len(ours.contact.dist) == d.ncon
        if d.ncon:
            order, mine = (np.lexsort(np.round(p, 8).T) for p in (d.contact.pos, ours.contact.pos))
            np.testing.assert_allclose(ours.contact.dist[mine], d.contact.dist[order], rtol=0, atol=1e-12)
            np.testing.assert_allclose(ours.contact.pos[mine], d.contact.pos[order], rtol=0, atol=1e-12)
            np.testing.assert_allclose(ours.contact.frame[mine], d.contact.frame[order], rtol=0, atol=1e-11)
        scale = max(1.0, np.abs(d.qacc).max())
        np.testing.assert_allclose(ours.qacc, d.qacc, rtol=0, atol=1e-6 * scale)
        scale = max(1.0, np.abs(d.qfrc_constraint).max())
        np.testing.assert_allclose(ours.qfrc_constraint, d.qfrc_constraint, rtol=0, atol=1e-6 * scale)
        active += d.nefc > 0
    return active


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize("name", MODELS)
def test_acceleration_and_force_equal_mujoco(name: str, cone: str) -> None:
    mj_model = tight(mujoco.MjSpec.from_file(str(ASSETS / f"{name}.xml")), CONES[cone])
    assert assert_equal_forward(mj_model, 200) >= 10


@pytest.mark.parametrize("condim", [1, 3, 4, 6])
@pytest.mark.parametrize("cone", CONES)
def test_every_row_equals_mujoco(cone: str, condim: int) -> None:
    mj_model = tight(mujoco.MjSpec.from_string(MIXED.format(condim=condim)), CONES[cone])
    assert assert_equal_forward(mj_model, 60) >= 50


def test_ant_stays_with_mujoco_for_200_steps() -> None:
    mj_model = tight(mujoco.MjSpec.from_file(str(ASSETS / "ant.xml")), CONES["pyramidal"])
    model, d = sim.Model.from_mujoco(mj_model), mujoco.MjData(mj_model)
    ctrls = np.random.default_rng(0).uniform(-1, 1, size=(200, mj_model.nu))
    path = sim.rollout(model, model.initial_state(), ctrls)
    for t, ctrl in enumerate(ctrls):
        d.ctrl[:] = ctrl
        mujoco.mj_step(mj_model, d)
        np.testing.assert_allclose(path.qpos[t + 1], d.qpos, rtol=0, atol=1e-5)


def _tangent(m: sim.Model, a: sim.State, b: sim.State) -> np.ndarray:
    dq = np.zeros(m.nv)
    mujoco.mj_differentiatePos(m.mj_model, dq, 1.0, a.qpos, b.qpos)
    return np.concatenate([dq, b.qvel - a.qvel, b.act - a.act])


def _moved(m: sim.Model, s: sim.State, x: np.ndarray) -> sim.State:
    qpos = s.qpos.copy()
    mujoco.mj_integratePos(m.mj_model, qpos, x[: m.nv], 1.0)
    return sim.State(qpos, s.qvel + x[m.nv : 2 * m.nv], s.act + x[2 * m.nv :])


def _active_rows(m: sim.Model, s: sim.State, ctrl: np.ndarray) -> tuple[int, ...]:
    found = sim.forward(m, s, ctrl)
    return (len(found.contact.dist), *np.sign(found.efc_force).astype(int))


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize(("name", "integrator"), [("ant", 0), ("ant", 1), ("walker2d", 3), ("mixed", 0)])
def test_jacobian_and_vjp_equal_differences(name: str, integrator: int, cone: str) -> None:
    mixed = MIXED.format(condim=4)
    spec = mujoco.MjSpec.from_string(mixed) if name == "mixed" else mujoco.MjSpec.from_file(str(ASSETS / f"{name}.xml"))
    mj_model = tight(spec, CONES[cone], integrator)
    m, rng, h, checked = sim.Model.from_mujoco(mj_model), np.random.default_rng(1), 1e-7, 0
    for d in visited_states(mj_model, 12, 5):
        s, ctrl = sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy()), d.ctrl.copy()
        rows, centre, jac = _active_rows(m, s, ctrl), sim.step(m, s, ctrl), sim.step_jacobian(m, s, ctrl)
        for _ in range(6):  # random directions instead of every column
            x, u = rng.normal(size=2 * m.nv + m.na), rng.normal(size=m.nu)
            ends = [(_moved(m, s, sign * h * x), ctrl + sign * h * u) for sign in (1, -1)]
            if any(_active_rows(m, *end) != rows for end in ends):
                continue
            plus, minus = (_tangent(m, centre, sim.step(m, *end)) for end in ends)
            numeric = (plus - minus) / (2 * h)
            exact = jac.A @ x + jac.B @ u
            np.testing.assert_allclose(exact, numeric, rtol=0, atol=1e-5 * max(1.0, np.abs(numeric).max()))
            checked += rows[0] > 0
        cotangent = rng.normal(size=len(jac.A))
        vjp = sim.step_vjp(m, s, ctrl, cotangent)
        scale = max(1.0, np.abs(jac.A).max())
        np.testing.assert_allclose(vjp.state, cotangent @ jac.A, rtol=0, atol=1e-10 * scale)
        np.testing.assert_allclose(vjp.ctrl, cotangent @ jac.B, rtol=0, atol=1e-10 * scale)
    assert checked >= 10


@pytest.mark.parametrize("field", ["body_mass", "body_inertia", "body_ipos", "body_pos", "dof_armature", "dof_damping"])
def test_parameter_gradients_in_contact_equal_differences(field: str) -> None:
    mj_model = tight(mujoco.MjSpec.from_file(str(ASSETS / "walker2d.xml")), CONES["pyramidal"], 0)
    m, rng, checked = sim.Model.from_mujoco(mj_model), np.random.default_rng(2), 0
    for d in visited_states(mj_model, 10, 3):
        s, ctrl = sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy()), d.ctrl.copy()
        cotangent = rng.normal(size=2 * m.nv)
        found = sim.step_vjp(m, s, ctrl, cotangent, params=True)
        assert found.params is not None
        value, rows, centre = getattr(m, field), _active_rows(m, s, ctrl), sim.step(m, s, ctrl)
        direction = rng.normal(size=value.shape) * (np.abs(value) > 1e-6 if field != "body_pos" else 1)
        direction[0] = 0  # the world
        h = 1e-8
        models = [m.replace(**{field: value + sign * h * direction}) for sign in (1, -1)]
        if any(_active_rows(other, s, ctrl) != rows for other in models):
            continue
        plus, minus = (cotangent @ _tangent(m, centre, sim.step(other, s, ctrl)) for other in models)
        exact = np.sum(found.params[field] * direction)
        assert exact == pytest.approx((plus - minus) / (2 * h), rel=1e-4, abs=1e-4)
        checked += rows[0] > 0
    assert checked >= 3


def test_wild_states_stay_finite() -> None:
    """Deep penetrations and huge velocities: finite numbers or none, no hang."""
    m = sim.Model.from_xml_path(ASSETS / "ant.xml")
    rng = np.random.default_rng(0)
    qpos = rng.normal(size=(500, m.nq)) * rng.choice([0.1, 1.0, 10.0], size=(500, 1))
    qvel = rng.normal(size=(500, m.nv)) * rng.choice([1.0, 100.0, 1e4], size=(500, 1))
    found = sim.forward(m, sim.State(qpos, qvel, np.zeros((500, 0))), rng.normal(size=(500, m.nu)))
    assert np.isfinite(found.qacc).all()
