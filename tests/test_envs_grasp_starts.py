"""Episodes that start from a file of grasps."""

from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from gradgym.envs.tasks.shadow_hand_grasp import ShadowHandGrasp

FINGERS = ("FFJ3", "FFJ2", "THJ5", "THJ4")


def hand_over_object(model: mujoco.MjModel, lower: float) -> tuple[np.ndarray, np.ndarray]:
    """The hand's root in the object's frame, at the keyframe "start" lowered by [m], and joints of FINGERS."""
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("start").id)
    mujoco.mj_kinematics(model, data)
    root, thing = data.body("forearm"), data.body("object")
    away, turn, pos, quat = np.empty(3), np.empty(4), np.empty(3), np.empty(4)
    mujoco.mju_negPose(away, turn, thing.xpos, thing.xquat)
    mujoco.mju_mulPose(pos, quat, away, turn, root.xpos - [0.0, 0.0, lower], root.xquat)
    return np.concatenate([pos, quat]), np.array([data.joint(name).qpos[0] for name in FINGERS])


def write(file: Path, pose: np.ndarray, joints: np.ndarray, names: tuple[str, ...] = FINGERS) -> Path:
    np.savez(file, pose=pose[None], joints=joints[None], joint_names=np.array(names))
    return file


@pytest.fixture(scope="module")
def grasp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = ShadowHandGrasp(backend="mujoco").model.mj_model
    return write(tmp_path_factory.mktemp("grasps") / "grasp.npz", *hand_over_object(model, 0.06))


def test_the_hand_starts_at_the_grasp(grasp: Path) -> None:
    """Wherever the object lies and however it is turned, the hand's pose relative to it is the file's."""
    task = ShadowHandGrasp(grasp=grasp, backend="mujoco")
    model = task.model.mj_model
    with np.load(grasp) as stored:
        pose, joints = stored["pose"][0], stored["joints"][0]
    data, places = mujoco.MjData(model), []
    for seed in range(8):
        state = task.initial([np.random.default_rng(seed)])
        data.qpos[:], data.act[:] = state.qpos[0].numpy(), state.act[0].numpy()
        mujoco.mj_forward(model, data)
        away, turn, pos, quat = np.empty(3), np.empty(4), np.empty(3), np.empty(4)
        mujoco.mju_negPose(away, turn, data.body("object").xpos, data.body("object").xquat)
        mujoco.mju_mulPose(pos, quat, away, turn, data.body("forearm").xpos, data.body("forearm").xquat)
        np.testing.assert_allclose(pos, pose[:3], atol=5e-4)
        assert abs(quat @ pose[3:]) > 1.0 - 1e-6
        for name, angle in zip(FINGERS, joints, strict=True):
            assert data.joint(name).qpos[0] == pytest.approx(0.9 * angle)
        np.testing.assert_allclose(data.joint("FFJ1").qpos, data.joint("FFJ2").qpos, atol=1e-12)
        np.testing.assert_allclose(data.actuator_force, 0.0, atol=1e-3)
        places.append(data.body("object").xpos[:2].copy())
    assert np.ptp(places, axis=0).min() > 0.01


def test_nothing_leads_a_hand_that_is_there(grasp: Path) -> None:
    env = gymnasium.make("gradgym/ShadowHandGrasp-v0", grasp=grasp, backend="mujoco")
    env.reset(seed=0)
    info = env.step(np.zeros_like(env.action_space.sample()))[4]
    assert info["reward_reach"] == 0.0
    assert info["reward_position"] < 0.0


def test_check_env(grasp: Path) -> None:
    env = gymnasium.make("gradgym/ShadowHandGrasp-v0", grasp=grasp, backend="mujoco")
    check_env(env.unwrapped, skip_render_check=True)


def test_grasps_below_the_table_are_out_of_reach(tmp_path: Path, grasp: Path) -> None:
    model = ShadowHandGrasp(backend="mujoco").model.mj_model
    file = write(tmp_path / "deep.npz", *hand_over_object(model, 0.25))
    with pytest.raises(ValueError, match="the arm can reach none of the 1 grasps above the table"):
        ShadowHandGrasp(grasp=file, backend="mujoco")


def test_a_grasp_is_of_one_size(grasp: Path) -> None:
    with pytest.raises(ValueError, match='leave "size" out of randomize'):
        ShadowHandGrasp(grasp=grasp, backend="mujoco", randomize={"size": (0.9, 1.1)})


def test_files_that_are_no_grasps(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("grasp")
    for file, message in (("none.npz", "is no file of grasps"), ("text.npz", "is no file of grasps")):
        with pytest.raises(ValueError, match=message) as error:
            ShadowHandGrasp(grasp=tmp_path / file, backend="mujoco")
        assert "\n" not in str(error.value)
    other = write(tmp_path / "other.npz", np.array([0.0, 0, 0, 1, 0, 0, 0]), np.zeros(1), ("index_1",))
    with pytest.raises(ValueError, match="the hand has no joint 'index_1'"):
        ShadowHandGrasp(grasp=other, backend="mujoco")
