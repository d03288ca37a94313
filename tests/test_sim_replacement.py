"""Numbers are data: a changed model runs what was compiled, and steps as MuJoCo's changed model does."""

from typing import Any

import mujoco
import numpy as np
import pytest
from parity import assert_same_step, random_state

from gradgym import sim
from gradgym.sim.kernels.jit import PROGRESS

ARM = """<mujoco><option timestep="0.004" density="300" viscosity="0.2"/><worldbody>
  <body mocap="true" pos="0 0 2"><site name="s"/></body>
  <body pos="0 0 1"><joint name="j" axis="0 1 0" damping="0.1"/>
    <geom name="fin" type="ellipsoid" size="0.2 0.05 0.1" pos="0.2 0 0" fluidshape="ellipsoid"/>
    <body pos="0.4 0 0"><joint name="k" axis="0 1 0"/><geom type="capsule" size="0.05 0.1"/></body></body>
  </worldbody><tendon><fixed name="t"><joint joint="j" coef="1"/></fixed></tendon><actuator>
  <muscle joint="j" lengthrange="-1 1" force="20"/><position joint="k" kp="3" kv="0.2"/>
  <general joint="k" dyntype="muscle" dynprm="0.02 0.05" actearly="true"/></actuator>
  <keyframe><key name="bent" qpos="0.3 -0.8" qvel="0.1 0" act="0.4 0.1" ctrl="0.2 0.5 0.3" mpos="1 2 3"/></keyframe>
  </mujoco>"""


@pytest.fixture(scope="module")
def model() -> sim.Model:
    return sim.Model.from_xml_string(ARM)


CHANGES: dict[str, Any] = {
    "body_mass": lambda x: 1.3 * x,
    "actuator_gainprm": lambda x: 0.7 * x,
    "actuator_lengthrange": lambda x: 1.1 * x,
    "actuator_acc0": lambda x: 2.0 * x,
    "actuator_dynprm": lambda x: 1.5 * x,
    "dof_damping": lambda x: x + 0.2,
    "geom_size": lambda x: 1.2 * x,
    "density": lambda x: 2.0 * x,
    "viscosity": lambda x: 3.0 * x,
    "wind": lambda _: np.array([0.5, 0.0, -0.3]),
    "timestep": lambda x: 0.5 * x,
    "gravity": lambda x: 0.3 * x,
}


def test_changed_numbers_compile_nothing_anew_and_are_mujocos(model: sim.Model) -> None:
    state, ctrl = random_state(model, 0)
    cotangent = np.ones(2 * model.nv + model.na)
    windy = model.replace(wind=np.array([0.1, 0.0, 0.0]))
    for one in (model, windy):
        sim.step_vjp(one, state, ctrl, cotangent, params=True)
        assert_same_step(one, state, ctrl)
    before = PROGRESS.count
    for name, change in CHANGES.items():
        m = model.mj_model
        value = change(np.array(getattr(m.opt if hasattr(m.opt, name) else m, name)))
        changed = model.replace(**{name: value})
        assert_same_step(changed, state, ctrl)
        sim.step_vjp(changed, state, ctrl, cotangent, params=True)
    assert PROGRESS.count == before


def test_keyframes_by_name_bring_activations_controls_and_mocap_poses(model: sim.Model) -> None:
    d = mujoco.MjData(model.mj_model)
    mujoco.mj_resetDataKeyframe(model.mj_model, d, 0)
    for key in ("bent", 0):
        state = model.initial_state(key)
        for name in sim.State._fields:
            np.testing.assert_array_equal(getattr(state, name), getattr(d, name))
        np.testing.assert_array_equal(model.key_ctrl(key), d.ctrl)
    heavy = model.replace(body_mass=2.0 * model.body_mass)
    np.testing.assert_array_equal(heavy.initial_state("bent").qpos, d.qpos)
