"""Option flags set otherwise than in the file: models that fall asleep in MuJoCo stay awake when asked to."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from gradgym import sim

DROPPED = """<mujoco><option timestep="0.005" sleep_tolerance="1e-2"><flag sleep="enable"/></option><worldbody>
  <geom type="plane" size="5 5 1"/><body name="ball" pos="0 0 0.12"><freejoint/><geom size="0.1"/></body>
  </worldbody></mujoco>"""
TOLERANCE, TIMESTEP = 1e-2, 0.005


def test_the_refusal_says_how_to_load_the_model() -> None:
    with pytest.raises(sim.UnsupportedModelError) as error:
        sim.Model.from_xml_string(DROPPED)
    assert "'ball'" in str(error.value) and 'flags={"sleep": "disable"}' in str(error.value)
    model = sim.Model.from_xml_string(DROPPED, flags={"sleep": "disable"})
    assert not model.mj_model.opt.enableflags & int(mujoco.mjtEnableBit.mjENBL_SLEEP)


def test_motion_without_sleep_is_mujocos_until_something_falls_asleep() -> None:
    model = sim.Model.from_xml_string(DROPPED, flags={"sleep": "disable"})
    asleep = mujoco.MjModel.from_xml_string(DROPPED)
    d, steps, awake = mujoco.MjData(asleep), 200, 0
    path = sim.rollout(model, model.initial_state(), np.zeros((steps, 0)))
    for k in range(steps):
        mujoco.mj_step(asleep, d)
        if d.ntree_awake == 0:
            break
        awake = k + 1
        np.testing.assert_allclose(path.qpos[awake], d.qpos, rtol=0, atol=1e-9)
    assert 0 < awake < steps
    mujoco.mj_step(asleep, d, steps - awake)
    # MuJoCo's stays where it is; ours settles, slower than what MuJoCo takes for rest
    assert np.abs(path.qvel[awake + 1 :]).max() < TOLERANCE
    assert 0 < np.abs(path.qpos[-1] - d.qpos).max() < TOLERANCE * TIMESTEP * (steps - awake)


def test_files_and_compiled_models_take_flags(tmp_path: Path) -> None:
    path = tmp_path / "ball.xml"
    path.write_text(DROPPED)
    flags = {"sleep": "disable", "gravity": "disable", "energy": "enable"}
    compiled = mujoco.MjModel.from_xml_string(DROPPED)
    for model in (sim.Model.from_xml_path(path, flags=flags), sim.Model.from_mujoco(compiled, flags=flags)):
        assert not model.gravity.any()
        assert model.mj_model.opt.enableflags == int(mujoco.mjtEnableBit.mjENBL_ENERGY)
    assert compiled.opt.enableflags & int(mujoco.mjtEnableBit.mjENBL_SLEEP)  # it was copied
    assert sim.Model.from_xml_path(path, flags={**flags, "gravity": "enable"}).gravity.any()


@pytest.mark.parametrize(
    ("flags", "says"), [({"slep": "disable"}, "no option flag 'slep'"), ({"sleep": "off"}, "sleep is 'off'")]
)
def test_other_words_are_errors(flags: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        sim.Model.from_xml_string(DROPPED, flags=flags)
