"""`contact_softness`: gradients before contact, exact ones; MuJoCo means the same; small softness is hard contact."""

import pickle

import mujoco
import numpy as np
import pytest
from contact_scenes import CONES, tight
from parity import GYMNASIUM_ASSETS

from gradgym import sim

BALL = """
<mujoco>
  <option timestep="0.002" tolerance="1e-14" integrator="{integrator}"/>
  <worldbody>
    <geom type="plane" size="1 1 .1"/>
    <body pos="0 0 0.1"><freejoint/><geom type="sphere" size="0.1"/></body>
  </worldbody>
</mujoco>"""


def ball(softness: float, integrator: str = "Euler") -> sim.Model:
    return sim.Model.from_xml_string(BALL.format(integrator=integrator), contact_softness=softness)


def at_height(model: sim.Model, gap: float, speed: float = 0.0) -> sim.State:
    """The ball `gap` above the floor, moving down, sideways and turning."""
    start = model.initial_state()
    qpos, qvel = start.qpos.copy(), np.array([0.1, 0.05, -speed, 0.3, -0.2, 0.5]) * (speed > 0)
    qpos[2] += gap
    return sim.State(qpos, qvel, start.act)


@pytest.mark.parametrize("integrator", ["Euler", "RK4"])
def test_gradient_before_touching(integrator: str) -> None:
    """5 mm above the floor the next velocity answers to the height with softness, and without it does not."""
    h = 1e-7
    for softness in (0.0, 0.01):
        model = ball(softness, integrator)
        slope = sim.step_jacobian(model, at_height(model, 0.005, 1.0), []).A[8, 2]
        ends = [sim.step(model, at_height(model, 0.005 + s * h, 1.0), []).qvel[2] for s in (1, -1)]
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-5, abs=1e-9)
        assert (slope != 0.0) == (softness > 0.0)
        assert slope <= 0.0  # higher up: less push


def test_gradient_of_a_landing_is_exact() -> None:
    """From 5 cm above the floor to rest: 200 steps, smooth enough for differences to see it."""
    model, h = ball(0.02), 1e-6

    def end(gap: float) -> np.ndarray:
        path = sim.rollout(model, at_height(model, gap, 0.5), np.zeros((100, 0)))
        return np.concatenate([path.qpos[-1][:3], path.qvel[-1]])

    path = sim.rollout(model, at_height(model, 0.05, 0.5), np.zeros((100, 0)))
    numeric = (end(0.05 + h) - end(0.05 - h)) / (2 * h)
    for i, at in enumerate((0, 1, 2, *range(6, 12))):
        cotangents = np.zeros((101, 12))
        cotangents[-1, at] = 1.0
        exact = sim.rollout_vjp(model, path, cotangents).state0[2]
        assert exact == pytest.approx(numeric[i], rel=1e-5, abs=1e-5)
    assert np.abs(numeric).max() > 1e-2


def test_force_starts_softly_and_falls_off_with_distance() -> None:
    model = ball(0.01)
    gaps = np.linspace(-0.002, 0.012, 200)
    forces = np.array([sim.forward(model, at_height(model, gap), []).qfrc_constraint[2] for gap in gaps])
    assert np.all(forces[gaps >= 0.01] == 0.0)
    inside = forces[gaps < 0.01]
    assert np.all(np.diff(inside) < 0.0) and np.all(inside > 0.0)
    assert inside[-1] < 1e-3 * np.interp(0.0, gaps, forces)


@pytest.mark.parametrize("cone", CONES)
def test_small_softness_tends_to_the_hard_contact(cone: str) -> None:
    spec = mujoco.MjSpec.from_string(BALL.format(integrator="Euler"))
    spec.option.cone = CONES[cone]
    hard = sim.Model.from_mujoco(spec)
    start = at_height(hard, 0.05, 0.5)
    expected = sim.rollout(hard, start, np.zeros((200, 0)))
    errors = []
    for softness in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
        path = sim.rollout(hard.replace(contact_softness=softness), start, np.zeros((200, 0)))
        errors.append(np.abs(path.qpos - expected.qpos).max())
    assert np.all(np.diff(errors) < 0.0) and errors[-1] < 1e-5 and errors[0] < 0.02


def test_zero_is_mujocos_own_meaning() -> None:
    model = sim.Model.from_xml_path(GYMNASIUM_ASSETS / "ant.xml")
    own = mujoco.MjModel.from_xml_path(str(GYMNASIUM_ASSETS / "ant.xml"))
    for field in ("geom_margin", "geom_solimp", "pair_margin", "pair_solimp", "body_margin"):
        np.testing.assert_array_equal(getattr(model.mj_model, field), getattr(own, field))
    assert model.contact_softness == 0.0


@pytest.mark.parametrize("cone", CONES)
def test_both_backends_mean_the_same(cone: str) -> None:
    mj_model = tight(mujoco.MjSpec.from_file(str(GYMNASIUM_ASSETS / "ant.xml")), CONES[cone])
    model = sim.Model.from_mujoco(mj_model, contact_softness=0.03)
    ctrls = np.random.default_rng(0).uniform(-1, 1, size=(100, model.nu))
    ours, theirs = (backend.rollout(model, model.initial_state(), ctrls) for backend in (sim, sim.mujoco_twin))
    np.testing.assert_allclose(ours.qpos, theirs.qpos, rtol=0, atol=1e-6)
    hard = sim.rollout(model.replace(contact_softness=0.0), model.initial_state(), ctrls)
    assert np.abs(ours.qpos - hard.qpos).max() > 1e-2


def test_softness_stays_with_the_model() -> None:
    model = ball(0.02)
    for other in (model.replace(timestep=0.001), pickle.loads(pickle.dumps(model))):
        assert other.contact_softness == 0.02
        np.testing.assert_array_equal(other.con_solimp, model.con_solimp)
        np.testing.assert_array_equal(other.con_margin, [0.02])
    assert model.replace(contact_softness=0.0).con_margin[0] == 0.0
    for wrong in (-0.1, np.nan):
        with pytest.raises(ValueError, match="contact_softness"):
            model.replace(contact_softness=wrong)
