"""The hand of the grasp planner: couplings, kinematics, surface, links in each other, and files of grasps."""

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

from gradgym.agents.grasp import Grasps, Hand, ObjectMesh, PlanSettings, plan, validate
from gradgym.agents.grasp.close_samples import close_samples
from gradgym.agents.grasp.hand import Links, quaternion_matrix
from gradgym.agents.grasp.link_depths import SelfCollision
from gradgym.agents.grasp.starts import start_poses

trimesh = pytest.importorskip("trimesh")
POSE = torch.tensor([[0.1, -0.2, 0.3, 0.5, 0.1, -0.7, 0.4]], dtype=torch.float64)


@pytest.fixture(scope="module")
def hand() -> Hand:
    return Hand.shadow()


def joints_of(hand: Hand, n: int, seed: int) -> torch.Tensor:
    share = torch.rand(n, len(hand.joint_names), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.from_numpy(hand.lower) + share * torch.from_numpy(hand.upper - hand.lower)


def test_shadow_hand_has_18_joints_and_the_paper_s_numbers_of_points(hand: Hand) -> None:
    assert len(hand.joint_names) == 18
    assert not any(name.startswith("WR") or name.endswith("FJ1") for name in hand.joint_names)
    assert len(hand.surface.candidates) == 45
    assert len(hand.surface.body) == 15_000


def test_distal_joints_follow(hand: Hand) -> None:
    qpos = hand.qpos(joints_of(hand, 3, 0).numpy())
    m = hand.model
    for finger in ("FF", "MF", "RF", "LF"):
        first, second = (m.jnt_qposadr[m.joint(f"{finger}J{k}").id] for k in (1, 2))
        np.testing.assert_array_equal(qpos[:, first], qpos[:, second])


def test_links_are_mujoco_s(hand: Hand) -> None:
    """Placed by the pose of the root, as a body that holds the hand."""
    joints = joints_of(hand, 1, 1)
    links = hand.links(POSE, joints)
    data = mujoco.MjData(hand.model)
    data.qpos[:] = hand.qpos(joints.numpy())[0]
    mujoco.mj_kinematics(hand.model, data)
    root = quaternion_matrix(POSE[0, 3:]).numpy()
    np.testing.assert_allclose(links.position[0], data.xpos @ root.T + POSE[0, :3].numpy(), atol=1e-12)
    np.testing.assert_allclose(links.rotation[0].numpy(), root @ data.xmat.reshape(-1, 3, 3), atol=1e-12)


def test_samples_are_on_the_surface_and_normals_outward(hand: Hand) -> None:
    """MuJoCo's distance from small spheres at 0.5 mm outside and inside to the geom that was sampled."""
    m, s = hand.model, hand.surface
    for i in np.random.default_rng(0).choice(len(s.body), 200, replace=False):
        kind, size = int(m.geom_type[s.geom[i]]), m.geom_size[s.geom[i]]
        axes = np.empty(9)
        mujoco.mju_quat2Mat(axes, m.geom_quat[s.geom[i]])
        axes = axes.reshape(3, 3)
        local = (s.position[i] - m.geom_pos[s.geom[i]]) @ axes
        normal = s.normal[i] @ axes

        def distance(x: np.ndarray, kind: int = kind, size: np.ndarray = size) -> float:
            if kind == mujoco.mjtGeom.mjGEOM_BOX:
                q = np.abs(x) - size
                return float(np.linalg.norm(q.clip(0.0)) + min(q.max(), 0.0))
            assert kind == mujoco.mjtGeom.mjGEOM_CAPSULE
            return float(np.linalg.norm(x - [0.0, 0.0, np.clip(x[2], -size[1], size[1])]) - size[0])

        assert abs(distance(local)) < 6e-4  # a capsule has flat faces here
        assert distance(local + 1e-3 * normal) > distance(local) + 8e-4


def test_any_first_samples_are_spread(hand: Hand) -> None:
    """A sample of the last has one of the first 500 nearer than those would be apart on a regular grid."""
    s = hand.surface
    links = hand.links(POSE, torch.from_numpy(hand.middle)[None])
    world = links.points(torch.from_numpy(s.body), torch.from_numpy(s.position))[0].numpy()
    first = np.linalg.norm(world[:500, None] - world[None, :500], axis=-1) + np.eye(500)
    rest = np.linalg.norm(world[500:2000, None] - world[None, :500], axis=-1).min(axis=1)
    assert rest.max() <= first.min() * 1.0001


def test_attached_points_and_directions_and_their_gradients(hand: Hand) -> None:
    """Against torch's own products, of two hands at once."""
    rng = np.random.default_rng(2)
    position, rotation = (torch.from_numpy(rng.normal(size=(2, 5, *shape))) for shape in ((3,), (3, 3)))
    body, local = torch.from_numpy(rng.integers(0, 5, 40)), torch.from_numpy(rng.normal(size=(40, 3)))
    weights = torch.from_numpy(rng.normal(size=(2, 40, 3)))
    for moved in (True, False):
        poses = [x.clone().requires_grad_() for x in (position, rotation)]
        links = Links(*poses)
        found = links.points(body, local) if moved else links.vectors(body, local)
        turned = (poses[1][:, body] @ local[..., None]).squeeze(-1)
        expected = turned + poses[0][:, body] if moved else turned
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        gradients = [torch.autograd.grad((x * weights).sum(), poses, allow_unused=True) for x in (found, expected)]
        assert (gradients[0][0] is None) == (not moved)
        for own, torch_s in zip(*gradients, strict=True):
            if own is not None:
                torch.testing.assert_close(own, torch_s, rtol=1e-12, atol=1e-12)


def test_close_samples_are_few_and_none_is_left_out(hand: Hand) -> None:
    block = ObjectMesh.from_trimesh(trimesh.creation.box((0.05, 0.06, 0.12)))
    pose, joints = start_poses(*block.sample(4, 0), hand, np.random.default_rng(0))
    links = hand.links(torch.from_numpy(pose), torch.from_numpy(joints))
    body, position = (torch.from_numpy(x) for x in (hand.surface.body, hand.surface.position))
    near = block.closest(links.points(body, position).numpy()).distance <= 0.002
    close = close_samples(block, hand.surface, links, 0.002)
    assert near.sum() > 200
    assert not (near & ~close).any()
    assert close.sum() < 0.5 * close.size


def test_candidates_face_what_the_hand_surrounds(hand: Hand) -> None:
    s = hand.surface
    links = hand.links(
        torch.tensor([[0.0, 0, 0, 1, 0, 0, 0]], dtype=torch.float64), torch.from_numpy(hand.middle)[None]
    )
    body = torch.from_numpy(s.body[s.candidates])
    points = links.points(body, torch.from_numpy(s.position[s.candidates]))[0].numpy()
    normals = links.vectors(body, torch.from_numpy(s.normal[s.candidates]))[0].numpy()
    way = s.center - points
    assert (((way * normals).sum(-1) / np.linalg.norm(way, axis=-1)) > 0.3).all()
    bodies = {hand.model.body(int(b)).name for b in body}
    assert {"ff_distal", "mf_distal", "rf_distal", "lf_distal", "th_distal", "palm"} <= bodies


def test_self_collision_gradient(hand: Hand) -> None:
    """Central differences of random postures, in many of which links are in each other."""
    collision = SelfCollision(hand, 400)
    joints = joints_of(hand, 40, 2).requires_grad_()
    pose = POSE.repeat(40, 1)
    loss = collision.loss(hand.links(pose, joints))
    assert (loss > 0.0).sum() > 5
    (gradient,) = torch.autograd.grad(loss.sum(), joints)
    step = 1e-6
    for k in range(len(hand.joint_names)):
        moved = torch.zeros(len(hand.joint_names), dtype=torch.float64)
        moved[k] = step
        ahead, behind = (collision.loss(hand.links(pose, joints.detach() + sign * moved)) for sign in (1.0, -1.0))
        torch.testing.assert_close(gradient[:, k], (ahead - behind) / (2.0 * step), rtol=1e-5, atol=1e-6)


def test_fingers_crossed_are_in_each_other_and_open_ones_not(hand: Hand) -> None:
    collision = SelfCollision(hand, 2000)
    joints = torch.from_numpy(hand.middle).repeat(2, 1)
    joints[1, hand.joint_names.index("FFJ4")], joints[1, hand.joint_names.index("MFJ4")] = -0.349, 0.349
    if hand.model.joint("FFJ4").axis[1] > 0.0:
        joints[1] *= -1.0
    depth = collision.deepest(hand.links(POSE.repeat(2, 1), joints))
    assert depth[0] == 0.0
    assert depth[1] > 0.003


# The outer link begins inside the palm, with which no joint joins it; beside it stands a plate.
HOOK = """
<mujoco>
  <compiler angle="radian"/>
  <worldbody>
    <body name="palm">
      <geom type="box" size="0.04 0.04 0.02"/>
      <geom type="box" size="0.005 0.04 0.05" pos="0.065 0 0.05"/>
      <body name="inner" pos="0 0 0.015">
        <joint name="inner" axis="0 1 0" range="-1 1"/>
        <geom type="sphere" size="0.01"/>
        <body name="outer">
          <joint name="outer" axis="0 1 0" range="-1 1"/>
          <geom type="capsule" size="0.008" fromto="0 0 0 0 0 0.06"/>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>
"""


def test_what_is_in_each_other_by_construction_does_not_count() -> None:
    hook = Hand(mujoco.MjSpec.from_string(HOOK))
    straight = torch.zeros(1, 2, dtype=torch.float64)
    assert SelfCollision(hook, 3000).deepest(hook.links(POSE, straight))[0] == 0.0
    folded = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    assert SelfCollision(hook, 3000).deepest(hook.links(POSE, folded))[0] > 0.001


def test_unknown_contact_geom_is_named(hand: Hand) -> None:
    with pytest.raises(ValueError, match="'fist' is no geom that collides; there are palm"):
        Hand(hand.spec(), contact_geoms=["fist"])


def test_missing_hand_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot read the MJCF") as error:
        Hand.from_xml_path(tmp_path / "hand.xml")
    assert "\n" not in str(error.value)


def some_grasps() -> Grasps:
    rng = np.random.default_rng(0)
    depths = {"penetration": rng.random(3), "self_penetration": rng.random(3)}
    pose, joints = rng.normal(size=(3, 7)), rng.normal(size=(3, 2))
    return Grasps(pose=pose, joints=joints, joint_names=("a", "b"), q1=rng.random(3), **depths)


def test_grasps_go_to_a_file_and_back(tmp_path: Path) -> None:
    grasps = some_grasps()
    grasps.save(tmp_path / "grasps.npz")
    found = Grasps.load(tmp_path / "grasps.npz")
    for name in ("pose", "joints", "q1", "penetration", "self_penetration"):
        np.testing.assert_array_equal(getattr(found, name), getattr(grasps, name))
    assert found.joint_names == ("a", "b")
    assert len(found[[2, 0]]) == 2
    assert found[[2, 0]].q1[0] == grasps.q1[2]


def test_files_that_hold_no_grasps(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such file of grasps"):
        Grasps.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("grasp")
    with pytest.raises(ValueError, match="is no file of grasps") as error:
        Grasps.load(tmp_path / "text.npz")
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"name the file of grasps with the ending \.npz"):
        some_grasps().save(tmp_path / "grasps.txt")
    with pytest.raises(ValueError, match="q1 has shape"):
        replace(some_grasps(), q1=np.zeros(2))


@pytest.fixture(scope="module")
def gymnasium_hand() -> Hand:
    robotics = pytest.importorskip("gymnasium_robotics")
    return Hand.from_xml_path(Path(robotics.__file__).parent / "envs/assets/hand/reach.xml")


def test_gymnasium_s_hand_is_alone_at_the_origin(gymnasium_hand: Hand) -> None:
    m = gymnasium_hand.model
    assert m.body(1).name == "robot0:hand mount" and [b for b in range(m.nbody) if m.body_parentid[b] == 0] == [0, 1]
    np.testing.assert_array_equal(np.concatenate([m.body_pos[1], m.body_quat[1]]), [0, 0, 0, 1, 0, 0, 0])
    assert not any(m.geom(i).name == "floor0" for i in range(m.ngeom))
    assert len(gymnasium_hand.joint_names) == m.nu == 18


def test_gymnasium_s_distal_joints_follow_by_their_tendons(gymnasium_hand: Hand) -> None:
    """MuJoCo's tendon is as long as the middle of its range, and no joint leaves its own."""
    m, lower, upper = gymnasium_hand.model, gymnasium_hand.lower, gymnasium_hand.upper
    data = mujoco.MjData(m)
    for share in (0.0, 0.3, 1.0):
        data.qpos[:] = gymnasium_hand.qpos(lower + share * (upper - lower))
        assert ((data.qpos >= m.jnt_range[:, 0] - 1e-9) & (data.qpos <= m.jnt_range[:, 1] + 1e-9)).all()
        mujoco.mj_fwdPosition(m, data)
        for finger in ("FF", "MF", "RF", "LF"):
            tendon = m.tendon(f"robot0:T_{finger}J1c").id
            assert data.ten_length[tendon] == pytest.approx(m.tendon_range[tendon].mean(), abs=1e-12)
    assert data.qpos[m.joint("robot0:FFJ0").id] == pytest.approx(np.pi / 2, abs=1e-3)


def test_gymnasium_s_hand_grasps_a_ball(gymnasium_hand: Hand) -> None:
    ball = ObjectMesh.from_trimesh(trimesh.creation.icosphere(3, 0.035))
    found = plan(ball, gymnasium_hand, 4, settings=PlanSettings(starts=16, iterations=60), progress=False)
    assert found.q1[0] > 0.15 and found.penetration[0] < 0.004
    assert len(validate(ball, gymnasium_hand, found).reasons) == 4


def test_a_world_with_no_hand_or_two_is_refused(tmp_path: Path) -> None:
    body = "<body><joint range='-1 1'/><geom size='0.01'/></body>"
    for bodies, count in (("<body><geom size='0.01'/></body>", 0), (2 * body, 2)):
        file = tmp_path / f"{count}.xml"
        file.write_text(f"<mujoco><worldbody>{bodies}</worldbody></mujoco>")
        with pytest.raises(ValueError, match=f"one body of the world must hold the hand, {count} have joints"):
            Hand.from_xml_path(file)
