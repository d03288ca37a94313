"""Pictures on a machine without a display, whoever draws first; in processes of their own, which a fault would end."""

import os
import subprocess
import sys

import pytest

OURS = """
import mujoco
from gradgym.envs import opengl
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><light pos='0 0 3'/><geom size='1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
try:
    with opengl.renderer(model, 32, 48) as renderer:
        renderer.update_scene(data)
        frame = renderer.render()
except opengl.MISSING as error:
    raise SystemExit(f"missing: {error}")
assert frame.shape == (32, 48, 3) and frame.max() > 50, frame.max()
"""
ENVIRONMENTS = """
import gymnasium, gradgym
env = gymnasium.make("gradgym/NLinkPendulum-v0", render_mode="rgb_array")
env.reset(seed=0)
assert env.render().max() > 50
env.close()
"""


@pytest.mark.parametrize("code", [OURS + ENVIRONMENTS, ENVIRONMENTS + OURS], ids=["ours first", "environment first"])
def test_without_a_display_egl_is_taken(code: str) -> None:
    environment = {name: os.environ[name] for name in os.environ.keys() - {"DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"}}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    if done.stderr.startswith("missing: "):
        pytest.skip(f"no OpenGL: {done.stderr[9:]}")
    assert done.returncode == 0, done.stderr
