"""Constraints against MuJoCo: contacts, rows, acceleration and force, on Gymnasium's own models.

Both sides at tight solver tolerance: what is left is rounding, amplified by stiff rows.
"""

import mujoco
import numpy as np
import pytest
from contact_scenes import CONES, MIXED, MODELS, active_rows, assert_equal_forward, tight, visited_states
from derivatives import moved, tangent_between
from parity import GYMNASIUM_ASSETS

from gradgym import sim

FRICTION_DAMPED_APART = (
    '<contact><pair geom1="floor" geom2="ball" condim="4" solref="0.01 0.8" solreffriction="0.05 1.1"/></contact>'
)


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize("name", MODELS)
def test_acceleration_and_force_equal_mujoco(name: str, cone: str) -> None:
    mj_model = tight(mujoco.MjSpec.from_file(str(GYMNASIUM_ASSETS / f"{name}.xml")), CONES[cone])
    assert assert_equal_forward(mj_model, 200) >= 10


@pytest.mark.parametrize("condim", [1, 3, 4, 6])
@pytest.mark.parametrize("cone", CONES)
def test_every_row_equals_mujoco(cone: str, condim: int) -> None:
    mj_model = tight(mujoco.MjSpec.from_string(MIXED.format(condim=condim)), CONES[cone])
    assert assert_equal_forward(mj_model, 60) >= 50


def test_ant_stays_with_mujoco_for_200_steps() -> None:
    mj_model = tight(mujoco.MjSpec.from_file(str(GYMNASIUM_ASSETS / "ant.xml")), CONES["pyramidal"])
    model, d = sim.Model.from_mujoco(mj_model), mujoco.MjData(mj_model)
    ctrls = np.random.default_rng(0).uniform(-1, 1, size=(200, mj_model.nu))
    path = sim.rollout(model, model.initial_state(), ctrls)
    for t, ctrl in enumerate(ctrls):
        d.ctrl[:] = ctrl
        mujoco.mj_step(mj_model, d)
        np.testing.assert_allclose(path.qpos[t + 1], d.qpos, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize(("name", "integrator"), [("ant", 0), ("ant", 1), ("walker2d", 3), ("mixed", 0)])
def test_jacobian_and_vjp_equal_differences(name: str, integrator: int, cone: str) -> None:
    mixed = MIXED.format(condim=4).replace('type="plane"', 'name="floor" type="plane"')
    mixed = mixed.replace('<geom type="sphere" size="0.12"', '<geom name="ball" type="sphere" size="0.12"')
    mixed = mixed.replace("</mujoco>", FRICTION_DAMPED_APART + "</mujoco>")
    spec = (
        mujoco.MjSpec.from_string(mixed)
        if name == "mixed"
        else mujoco.MjSpec.from_file(str(GYMNASIUM_ASSETS / f"{name}.xml"))
    )
    mj_model = tight(spec, CONES[cone], integrator)
    m, rng, h, checked = sim.Model.from_mujoco(mj_model), np.random.default_rng(1), 1e-7, 0
    for d in visited_states(mj_model, 12, 5):
        s, ctrl = sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy()), d.ctrl.copy()
        rows, centre, jac = active_rows(m, s, ctrl), sim.step(m, s, ctrl), sim.step_jacobian(m, s, ctrl)
        for _ in range(6):  # random directions instead of every column
            x, u = rng.normal(size=2 * m.nv + m.na), rng.normal(size=m.nu)
            ends = [(moved(m, s, sign * h * x), ctrl + sign * h * u) for sign in (1, -1)]
            if any(active_rows(m, *end) != rows for end in ends):
                continue
            plus, minus = (tangent_between(m, centre, sim.step(m, *end)) for end in ends)
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
    mj_model = tight(mujoco.MjSpec.from_file(str(GYMNASIUM_ASSETS / "walker2d.xml")), CONES["pyramidal"], 0)
    m, rng, checked = sim.Model.from_mujoco(mj_model), np.random.default_rng(2), 0
    for d in visited_states(mj_model, 10, 3):
        s, ctrl = sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy()), d.ctrl.copy()
        cotangent = rng.normal(size=2 * m.nv)
        found = sim.step_vjp(m, s, ctrl, cotangent, params=True)
        assert found.params is not None
        value, rows, centre = getattr(m, field), active_rows(m, s, ctrl), sim.step(m, s, ctrl)
        direction = rng.normal(size=value.shape) * (np.abs(value) > 1e-6 if field != "body_pos" else 1)
        direction[0] = 0  # the world
        h = 1e-8
        models = [m.replace(**{field: value + sign * h * direction}) for sign in (1, -1)]
        if any(active_rows(other, s, ctrl) != rows for other in models):
            continue
        plus, minus = (cotangent @ tangent_between(m, centre, sim.step(other, s, ctrl)) for other in models)
        exact = np.sum(found.params[field] * direction)
        assert exact == pytest.approx((plus - minus) / (2 * h), rel=1e-4, abs=1e-4)
        checked += rows[0] > 0
    assert checked >= 3


def test_wild_states_stay_finite() -> None:
    """Deep penetrations and huge velocities: finite numbers or none, no hang."""
    m = sim.Model.from_xml_path(GYMNASIUM_ASSETS / "ant.xml")
    rng = np.random.default_rng(0)
    qpos = rng.normal(size=(500, m.nq)) * rng.choice([0.1, 1.0, 10.0], size=(500, 1))
    qvel = rng.normal(size=(500, m.nv)) * rng.choice([1.0, 100.0, 1e4], size=(500, 1))
    found = sim.forward(m, sim.State(qpos, qvel, np.zeros((500, 0))), rng.normal(size=(500, m.nu)))
    assert np.isfinite(found.qacc).all()
