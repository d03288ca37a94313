"""Objects and hands of files in the manipulation tasks."""

from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from gradgym.envs.tasks.cube_reorient import CubeReorient
from gradgym.envs.tasks.manipulation import Manipulation
from gradgym.envs.tasks.shadow_hand_grasp import ShadowHandGrasp

# Two fingers whose tips are spheres, and a palm below them; the site's z axis points away from what holds it.
GRIPPER = """
<mujoco model="gripper">
  <compiler angle="radian" autolimits="true"/>
  <worldbody>
    <body name="palm">
      <geom name="palm" type="box" size="0.05 0.02 0.01" mass="0.2"/>
      <body name="left" pos="0.05 0 0.01">
        <joint name="left" axis="0 1 0" range="-0.8 0.8" damping="0.05" armature="0.001"/>
        <geom type="capsule" fromto="0 0 0 0 0 0.08" size="0.008" mass="0.03"/>
        <site name="left_tip" pos="0 0 0.08"/>
      </body>
      <body name="right" pos="-0.05 0 0.01">
        <joint name="right" axis="0 1 0" range="-0.8 0.8" damping="0.05" armature="0.001"/>
        <geom type="capsule" fromto="0 0 0 0 0 0.08" size="0.008" mass="0.03"/>
        <site name="right_tip" pos="0 0 0.08"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <position name="left" joint="left" kp="2" ctrlrange="-0.8 0.8"/>
    <position name="right" joint="right" kp="2" ctrlrange="-0.8 0.8"/>
  </actuator>
</mujoco>
"""


def solid(path: Path, rings: list[tuple[float, float]], sides: int = 16) -> None:
    """Writes a solid of revolution as OBJ: rings of (radius, height), from the bottom up [m]."""
    lines = []
    for radius, height in rings:
        for k in range(sides):
            angle = 2 * np.pi * k / sides
            lines.append(f"v {radius * np.cos(angle)} {radius * np.sin(angle)} {height}")
    for below in range(len(rings) - 1):
        for k in range(sides):
            a, b = below * sides + k + 1, below * sides + (k + 1) % sides + 1
            lines += [f"f {a} {b} {b + sides}", f"f {a} {b + sides} {a + sides}"]
    top = (len(rings) - 1) * sides
    lines.append("f " + " ".join(str(k) for k in range(sides, 0, -1)))
    lines.append("f " + " ".join(str(top + k + 1) for k in range(sides)))
    path.write_text("\n".join(lines))


@pytest.fixture
def bottle(tmp_path: Path) -> Path:
    """14 cm high, of three convex pieces: body, shoulder and neck."""
    folder = tmp_path / "bottle"
    folder.mkdir()
    solid(folder / "body.obj", [(0.03, 0.0), (0.03, 0.08)])
    solid(folder / "shoulder.obj", [(0.03, 0.08), (0.012, 0.11)])
    solid(folder / "neck.obj", [(0.012, 0.11), (0.012, 0.14)])
    return folder


def after_rest(task: Manipulation, steps: int) -> torch.Tensor:
    """How far each coordinate of two worlds moves without actions."""
    start = state = task.initial([np.random.default_rng(i) for i in range(2)])
    with torch.no_grad():
        for _ in range(steps):
            state = task.transition(state, torch.zeros(2, *(task.action_space.shape or ())).double())
    return (state.qpos - start.qpos).abs()


def test_a_bottle_of_convex_pieces_stands_on_the_table(bottle: Path) -> None:
    task = ShadowHandGrasp(object=bottle, backend="mujoco")
    m = task.model.mj_model
    meshes = np.flatnonzero((m.geom_bodyid == task.object_body) & (m.geom_type == mujoco.mjtGeom.mjGEOM_MESH))
    assert len(meshes) == 3
    assert m.body("object").mass == pytest.approx(0.1)
    assert after_rest(task, 20).max() < 2e-3


def test_a_bottle_is_drawn(bottle: Path) -> None:
    """In the red of the object, which the table and the hand have not."""
    env = gymnasium.make("gradgym/ShadowHandGrasp-v0", object=bottle, backend="mujoco", render_mode="rgb_array")
    env.reset(seed=0)
    frame = np.asarray(env.render()).astype(int)
    env.close()
    red = (frame[..., 0] > frame[..., 1] + 60) & (frame[..., 0] > frame[..., 2] + 60)
    assert red.sum() > 100


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("words.obj", "hello"),
        ("flat.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3"),
        ("words.stl", "hello"),
        ("words.ply", "hello"),
    ],
)
def test_what_is_no_mesh_is_one_line(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=f"{name}' is no OBJ or STL file") as caught:
        ShadowHandGrasp(object=path, backend="mujoco")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [None, "no xml"])
def test_a_hand_that_cannot_be_read_is_one_line(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "hand.xml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=r"cannot read the MJCF .*hand\.xml") as caught:
        ShadowHandGrasp(hand_xml=path, backend="mujoco")
    assert "\n" not in str(caught.value)


def test_a_gripper_takes_the_place_of_the_hand(tmp_path: Path) -> None:
    path = tmp_path / "gripper.xml"
    path.write_text(GRIPPER)
    env = gymnasium.make("gradgym/ShadowHandGrasp-v0", hand_xml=path, backend="mujoco")
    assert env.action_space.shape == (8,)
    check_env(env.unwrapped, skip_render_check=True)
    task = ShadowHandGrasp(hand_xml=path, backend="mujoco")
    assert len(task.tips) == 2
    assert after_rest(task, 20).max() < 2e-3
    in_hand = CubeReorient(hand="shadow", hand_xml=path, backend="mujoco")
    assert in_hand.action_space.shape == (2,)
