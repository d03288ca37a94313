"""Gradients by friction, friction loss and solref against differences of models made by `Model.replace`."""

import mujoco
import numpy as np
import pytest
from contact_scenes import CONES, active_rows, tight, visited_states
from derivatives import tangent_between

from gradgym import sim

FIELDS = (
    "geom_friction", "geom_solref", "pair_friction", "pair_solref", "pair_solreffriction",
    "dof_frictionloss", "dof_solref", "jnt_solref",
)  # fmt: skip
CONDIMS = {
    ("pyramidal", 0): 3, ("pyramidal", 1): 6, ("pyramidal", 3): 4,
    ("elliptic", 0): 6, ("elliptic", 1): 4, ("elliptic", 3): 3,
}  # fmt: skip
SCENE = """
<mujoco>
  <option timestep="0.004"/>
  <default><geom condim="{condim}" friction="0.6 0.02 0.004"/></default>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 .1" friction="0.4 0.03 0.002" solref="0.03 1.2" solmix="2"/>
    <body pos="0 0 0.11"><freejoint/><geom name="ball" type="sphere" size="0.12" friction="0.9 0.01 0.003"/></body>
    <body pos="0.1 0.05 0.3"><freejoint/><geom type="capsule" size="0.06 0.2" solref="0.015 0.9"/></body>
    <body pos="0.5 0 0.05" euler="0 90 0"><freejoint/>
      <geom type="capsule" size="0.05 0.15" priority="1" friction="0.3 0.01 0.001" solref="0.001 1"/></body>
    <body pos="-0.5 0 0.06"><freejoint/><geom name="direct" type="sphere" size="0.07" solref="-900 -40"/></body>
    <body pos="0.05 -0.05 0.6"><joint type="ball" range="0 0.6" limited="true" frictionloss="0.2"/>
      <geom name="arm" type="sphere" size="0.08" pos="0.1 0 0"/>
      <body pos="0.2 0 0">
        <joint type="slide" axis="1 0 0" limited="true" range="-0.02 0.02" frictionloss="0.5" solreflimit="0.01 1.1"/>
        <geom type="capsule" size="0.04 0.1"/></body></body>
    <body pos="-0.9 0 0.06"><freejoint/><geom name="listed" type="sphere" size="0.07"/></body>
    <body pos="-1.2 0 0.06"><freejoint/><geom name="twice" type="sphere" size="0.07"/></body>
  </worldbody>
  <contact>
    <pair geom1="floor" geom2="listed" condim="{condim}" friction="0.5 0.4 0.02 0.003 0.002"
      solref="0.02 0.8" solreffriction="0.05 1.1"/>
    <pair geom1="floor" geom2="twice" condim="{condim}" friction="0.5 0.4 0.02 0.003 0.002" solref="0.02 0.8"/>
  </contact>
</mujoco>"""


SLIDER = """
<mujoco>
  <option timestep="0.002" tolerance="1e-14"/>
  <worldbody>
    <geom type="plane" size="5 5 .1" friction="{floor}"/>
    <body pos="0 0 0.1"><joint type="slide" axis="1 0 0"/><joint type="slide" axis="0 1 0"/>
      <joint type="slide" axis="0 0 1"/><geom type="sphere" size="0.1" friction="0.1"/></body>
  </worldbody>
</mujoco>"""


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize("integrator", [0, 1, 3])
def test_gradients_equal_differences(integrator: int, cone: str) -> None:
    spec = mujoco.MjSpec.from_string(SCENE.format(condim=CONDIMS[cone, integrator]))
    mj_model = tight(spec, CONES[cone], integrator)
    m, rng, checked = sim.Model.from_mujoco(mj_model), np.random.default_rng(2), dict.fromkeys(FIELDS, 0)
    for d in visited_states(mj_model, 24, 3):
        s, ctrl = sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy()), d.ctrl.copy()
        cotangent = rng.normal(size=2 * m.nv)
        found = sim.step_vjp(m, s, ctrl, cotangent, params=True)
        assert found.params is not None
        rows, centre = active_rows(m, s, ctrl), sim.step(m, s, ctrl)
        for field in FIELDS:
            value = getattr(mj_model, field)
            direction = rng.normal(size=value.shape) * np.abs(value)
            h = 1e-6  # leaves 1e-9 of rounding
            models = [m.replace(**{field: value + sign * h * direction}) for sign in (1, -1)]
            if any(active_rows(other, s, ctrl) != rows for other in models):
                continue
            plus, minus = (cotangent @ tangent_between(m, centre, sim.step(other, s, ctrl)) for other in models)
            numeric, exact = (plus - minus) / (2 * h), np.sum(found.params[field] * direction)
            assert exact == pytest.approx(numeric, rel=1e-5, abs=5e-9), field
            checked[field] += int(abs(numeric) > 1e-5)
    if cone == "pyramidal":
        assert checked.pop("pair_solreffriction") == 0  # elliptic cones alone read it
    assert min(checked.values()) >= 4, checked  # friction that sticks hardly answers


@pytest.mark.parametrize("cone", CONES)
def test_friction_of_a_slider_follows_coulomb(cone: str) -> None:
    """A sliding body loses mu g t of speed, so its derivative by mu is -g t; one at rest does not answer to mu."""
    spec = mujoco.MjSpec.from_string(SLIDER.format(floor=0.05))
    spec.option.cone = CONES[cone]
    m = sim.Model.from_mujoco(spec)
    rest = sim.step(m, m.initial_state(), [], n_steps=2000)
    cotangent = np.array([0.0, 0, 0, 1, 0, 0])
    for speed, slope in ((0.5, -9.81 * 0.4), (0.0, 0.0)):
        start = sim.State(rest.qpos, np.array([speed, 0.0, 0.0]), rest.act)
        params = sim.step_vjp(m, start, [], cotangent, n_steps=200, params=True).params
        assert params is not None
        # the soft contact first gives way to the sliding, by two millimetres
        assert params["geom_friction"][1, 0] == pytest.approx(slope, rel=0.03, abs=1e-6)
        assert np.all(params["geom_friction"][0] == 0)  # the slipperier floor does not set the friction


def test_equal_friction_is_shared() -> None:
    """Of two equal coefficients each gets half: the derivative of changing both."""
    m = sim.Model.from_xml_string(SLIDER.format(floor=0.1))
    start = sim.State(np.array([0, 0, -0.001]), np.array([1.0, 0.0, 0.0]), np.zeros(0))
    cotangent, h = np.array([0.0, 0, 0, 1, 0, 0]), 1e-6
    params = sim.step_vjp(m, start, [], cotangent, params=True).params
    assert params is not None
    by_floor, by_ball = params["geom_friction"][:, 0]
    ends = [sim.step(m.replace(geom_friction=m.mj_model.geom_friction + s * h), start, []) for s in (1, -1)]
    assert by_floor == by_ball != 0
    assert by_floor + by_ball == pytest.approx((ends[0].qvel[0] - ends[1].qvel[0]) / (2 * h), rel=1e-6)
