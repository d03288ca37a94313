"""The judge: what a parallel gripper holds by Coulomb's law, and what the Shadow hand does."""

from pathlib import Path

import imageio.v3 as imageio
import mujoco
import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from gradgym import sim
from gradgym.agents.grasp import judge, scene
from gradgym.agents.grasp.convex_pieces import convex_pieces
from gradgym.agents.grasp.grasps import Grasps
from gradgym.agents.grasp.hand import Hand
from gradgym.agents.grasp.pictures import picture

Floats = NDArray[np.float64]

# Two jaws that slide along x; the right one's joint moves outward, the left one's inward.
GRIPPER = """
<mujoco>
  <worldbody>
    <body name="base" gravcomp="1">
      <inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>
      <body name="right" pos="0.03 0 0" gravcomp="1">
        <joint name="right" type="slide" axis="1 0 0" range="-0.03 0.05" damping="20"/>
        <geom type="box" pos="0.005 0 0" size="0.005 0.02 0.02" mass="0.1" contype="0" conaffinity="1"/>
      </body>
      <body name="left" pos="-0.03 0 0" gravcomp="1">
        <joint name="left" type="slide" axis="1 0 0" range="-0.05 0.03" damping="20"/>
        <geom type="box" pos="-0.005 0 0" size="0.005 0.02 0.02" mass="0.1" contype="0" conaffinity="1"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <position name="right" joint="right" kp="1000" ctrlrange="-0.03 0.05" forcerange="-50 50"/>
    <position name="left" joint="left" kp="1000" ctrlrange="-0.05 0.03" forcerange="-50 50"/>
  </actuator>
</mujoco>
"""
BOX = trimesh.creation.box((0.05, 0.05, 0.05))
SPHERE = trimesh.creation.icosphere(3, 0.035)
SPHERE_CENTER = np.array([-0.0021, -0.0628, 0.3387])  # in the Shadow hand's frame, for the joints below
SPHERE_GRASP = {
    **{"FFJ3": 0.82, "FFJ2": 0.82, "MFJ3": 0.7, "MFJ2": 0.7, "RFJ3": 0.66, "RFJ2": 0.66, "LFJ3": 0.7, "LFJ2": 0.7},
    **{"THJ5": 0.554, "THJ4": 1.1, "THJ2": -0.162, "THJ1": 0.22},
}


class Gripper:
    joint_names: tuple[str, ...] = ("right", "left")

    def spec(self) -> mujoco.MjSpec:
        return mujoco.MjSpec.from_string(GRIPPER)

    def qpos(self, joints: Floats) -> Floats:
        return joints


def grasps_at(pose: object, joints: object, names: tuple[str, ...]) -> Grasps:
    pose, joints = np.atleast_2d(np.asarray(pose, float)), np.atleast_2d(np.asarray(joints, float))
    zero = np.zeros(len(pose))
    return Grasps(pose=pose, joints=joints, joint_names=names, q1=zero, penetration=zero, self_penetration=zero)


def pinch(position: object = (0.0, 0.0, 0.0), quat: object = (1.0, 0.0, 0.0, 0.0)) -> Grasps:
    """The jaws just touch the box."""
    return grasps_at(np.concatenate([np.asarray(position), np.asarray(quat)]), [-0.005, 0.005], Gripper.joint_names)


def normal_force(model: mujoco.MjModel, start: scene.Drive) -> float:
    """Of all contacts of the first grasp together when the hand has closed [N]."""
    state, data = judge._close(model, judge._mujoco(model), start), mujoco.MjData(model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = state.qpos[0], state.qvel[0], start.after[0]
    mujoco.mj_forward(model, data)
    total, force = 0.0, np.empty(6)
    for i in range(data.ncon):
        mujoco.mj_contactForce(model, data, i, force)
        total += force[0]
    return total


# -- the gripper, by Coulomb's law


@pytest.mark.parametrize("force", [4.0, 10.0])
def test_a_pinch_holds_up_to_friction_times_the_normal_forces(force: float) -> None:
    squeeze, friction = judge.Squeeze(force=force), 0.5
    most = friction * force / judge.GRAVITY
    light = judge.validate(BOX, Gripper(), pinch(), mass=0.8 * most, friction=(friction, 0.02), squeeze=squeeze)
    assert light.held.tolist() == [True]
    assert light.reasons == ("held",)
    assert light.displacement.max() < 0.003
    heavy = judge.validate(BOX, Gripper(), pinch(), mass=1.3 * most, friction=(friction, 0.02), squeeze=squeeze)
    assert heavy.held.tolist() == [False]
    assert heavy.reasons[0].startswith("slipped ")
    # Gravity along x pushes against a jaw, along y and z it pulls out of them.
    assert (heavy.displacement[0, 2:] > 0.05).all()
    assert (heavy.displacement[0, :2] < 0.05).all()


def test_what_slides_falls_with_gravity_less_friction() -> None:
    mass, force, friction = 1.0, 4.0, 0.5
    model = scene.trial_model(BOX, Gripper(), convex_pieces(BOX.vertices, BOX.faces), mass, (friction, 0.02))
    start = scene.drive(model, Gripper(), pinch(), force, friction, 0.002, 0.005)
    run = judge._mujoco(model)
    closed = judge._close(model, run, start)
    fallen = run(closed, start.after[:, None], 10, np.array([[0.0, 0.0, -mass * judge.GRAVITY]]))
    expected = 0.5 * (judge.GRAVITY - friction * force / mass) * (10 * scene.TIMESTEP) ** 2
    assert abs((closed.qpos - fallen.qpos)[0, -5] - expected) < 0.15 * expected


def test_torsional_friction_holds_a_weight_beside_the_jaws() -> None:
    # Thin rounded ends in the jaws, and the weight beside them: only a contact's own moment can hold that.
    bar = trimesh.creation.capsule(0.03, 0.01, count=(16, 16))
    bar.apply_translation(-bar.bounds.mean(axis=0))
    bar.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, (0, 1, 0)))
    weight = trimesh.creation.box((0.02, 0.02, 0.02)).apply_translation((0, 0, 0.012))
    mesh = trimesh.boolean.union([bar, weight], engine="manifold")
    firm, loose = (judge.validate(mesh, Gripper(), pinch(), friction=(0.7, t)) for t in (0.02, 1e-5))
    assert firm.held.all()
    assert loose.reasons[0].startswith("turned ")
    # About the axis through the ends, x, turn the weights along y, not those along x and z.
    assert (loose.angle[0, 2:4] > np.radians(15)).all()
    # What moves is the centre of mass, wherever the mesh's origin is.
    moved = mesh.copy().apply_translation((0.0, 0.0, 0.5))
    far = judge.validate(moved, Gripper(), pinch((0.0, 0.0, 0.5)), friction=(0.7, 1e-5))
    assert far.reasons[0].startswith("turned ")
    assert (far.displacement[0, 2:4] < 0.05).all()


def test_directions_and_poses_belong_to_the_object() -> None:
    # Its origin far away, turned with its grasp by a quarter about z, the object's x is where its y was.
    shift, quarter = np.array([0.5, -0.3, 0.2]), Rotation.from_euler("z", 90, degrees=True)
    moved = trimesh.Trimesh(BOX.vertices + shift, BOX.faces, process=False)
    turned = pinch(shift, quarter.as_quat(scalar_first=True))
    heavy = judge.validate(moved, Gripper(), turned, mass=1.0, squeeze=judge.Squeeze(force=4.0))
    assert (heavy.displacement[0, [0, 1, 4, 5]] > 0.05).all()
    assert (heavy.displacement[0, 2:4] < 0.05).all()
    assert heavy.reasons[0].split()[-1] in ("+x", "-x", "+z", "-z")
    # Gravity along the object's +x is along the hand's -y: R^T e_x.
    model = scene.trial_model(moved, Gripper(), convex_pieces(moved.vertices, moved.faces), 1.0, (0.7, 0.02))
    start, pushes = scene.drive(model, Gripper(), turned, 4.0, 0.7, 0.002, 0.005), []

    def run(state: sim.State, ctrls: Floats, steps: int, push: Floats) -> sim.State:
        pushes.append(push)
        return state

    rest = sim.State(start.qpos, np.zeros((1, model.nv)), np.zeros((1, model.na)))
    judge._hold(model, run, rest, start, 2.0, np.array([0.05, 0.2]))
    assert pushes[0][:4] == pytest.approx(2.0 * np.array([[0, -1, 0], [0, 1, 0], [1, 0, 0], [-1, 0, 0]]), abs=1e-12)


@pytest.mark.parametrize("gap", [-0.002, 0.0, 0.002])
def test_jaws_press_alike_from_where_they_are_near(gap: float) -> None:
    near = grasps_at([0, 0, 0, 1, 0, 0, 0], [gap - 0.005, 0.005 - gap], Gripper.joint_names)
    model = scene.trial_model(BOX, Gripper(), convex_pieces(BOX.vertices, BOX.faces), 0.1, (0.7, 0.02))
    start = scene.drive(model, Gripper(), near, 10.0, 0.7, 0.001, 0.005)
    # At first both are 1 mm away, or where they were if that is farther.
    assert start.inside.tolist() == [0.0]
    assert start.qpos[0, :2] == pytest.approx(np.array([-0.005, 0.005]) + max(gap, 0.001) * np.array([1, -1]), abs=1e-4)
    assert normal_force(model, start) == pytest.approx(10.0, rel=0.1)


def test_each_grasp_is_judged_by_itself() -> None:
    joints = [[-0.005, 0.005], [-0.007, 0.007], [-0.002, 0.006]]
    several = grasps_at([[0, 0, 0, 1, 0, 0, 0]] * 3, joints, Gripper.joint_names)
    together = judge.validate(BOX, Gripper(), several, mass=0.5)
    for i in range(3):
        alone = judge.validate(BOX, Gripper(), several[[i]], mass=0.5)
        assert together.reasons[i] == alone.reasons[0]
        assert together.displacement[i] == pytest.approx(alone.displacement[0], abs=1e-9)


def test_reasons_name_what_went_wrong() -> None:
    poses = [[0, 0, 0, 1, 0, 0, 0], [0, 0.2, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0]]
    several = grasps_at(poses, [[-0.02, 0.02], [-0.005, 0.005], [-0.005, 0.005]], Gripper.joint_names)
    # No clearance is to be made, so that the first jaws stay 15 mm inside.
    squeeze = judge.Squeeze(clearance=-0.1)
    report = judge.validate(BOX, Gripper(), several, squeeze=squeeze)
    assert report.reasons == ("starts 15 mm inside the hand", "never touched", "held")
    assert report.held.tolist() == [False, False, True]


def test_one_jaw_alone_pushes_the_box_away_while_it_closes() -> None:
    one = grasps_at([0, 0, 0, 1, 0, 0, 0], [0.05, 0.005], Gripper.joint_names)
    report = judge.validate(BOX, Gripper(), one, limits=(0.0005, 15.0))
    assert report.reasons[0].startswith("slipped ")
    assert report.reasons[0].endswith(" cm while the hand closed")


def test_no_grasps_no_rows() -> None:
    report = judge.validate(BOX, Gripper(), pinch()[:0])
    assert report.held.shape == (0,)
    assert report.displacement.shape == report.angle.shape == (0, 6)


def test_wrong_arguments_are_one_line() -> None:
    with pytest.raises(ValueError, match="backend='bullet': must be one of"):
        judge.validate(BOX, Gripper(), pinch(), backend="bullet")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="not its grasps"):
        judge.validate(BOX, Gripper(), grasps_at([0, 0, 0, 1, 0, 0, 0], [0.0], ("other",)))

    class Motors(Gripper):
        def spec(self) -> mujoco.MjSpec:
            return mujoco.MjSpec.from_string(GRIPPER.replace("<position", "<general").replace('kp="1000"', ""))

    with pytest.raises(ValueError, match="actuator 'right' is no position servo"):
        judge.validate(BOX, Motors(), pinch())


# -- the scene


def test_mass_properties_are_those_of_another_method() -> None:
    rng = np.random.default_rng(0)
    mesh = trimesh.convex.convex_hull(rng.normal((0.5, 1.0, -0.7), size=(30, 3)))
    volume, center, moments = scene.mass_properties(np.array(mesh.vertices), np.array(mesh.faces))
    inside = rng.uniform(*mesh.bounds, size=(400_000, 3))
    hull = ConvexHull(mesh.vertices)
    inside = inside[(inside @ hull.equations[:, :3].T + hull.equations[:, 3] <= 0).all(axis=1)]
    assert abs(volume / hull.volume - 1.0) < 1e-9
    assert np.abs(center - inside.mean(axis=0)).max() < 0.01
    assert np.abs(moments / volume - np.cov(inside.T)).max() < 0.01


def test_the_compiled_object_has_its_mass_and_inertia() -> None:
    mesh = trimesh.creation.box((0.04, 0.06, 0.08)).apply_translation((0.01, 0.02, 0.03))
    model = scene.trial_model(mesh, Gripper(), [np.array(mesh.vertices)], 0.1, (0.7, 0.02))
    body = model.body(scene.OBJECT)
    assert body.mass[0] == pytest.approx(0.1)
    assert np.abs(body.ipos - (0.01, 0.02, 0.03)).max() < 1e-9
    expected = np.array([0.06**2 + 0.08**2, 0.04**2 + 0.08**2, 0.04**2 + 0.06**2]) * 0.1 / 12.0
    assert np.allclose(np.sort(body.inertia), np.sort(expected), rtol=1e-6)


def test_chosen_forces_balance_within_the_cones() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        angles = np.array([0.1, 2.1, 4.2]) + rng.uniform(-0.2, 0.2, 3)
        normal = np.stack([np.cos(angles), np.sin(angles), rng.uniform(-0.1, 0.1, 3)], axis=1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        side = np.cross(normal, (0.0, 0.0, 1.0))
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        frame = np.stack([normal, side, np.cross(normal, side)], axis=1)
        forces = scene._balanced(0.03 * normal, frame, 10.0, 0.35, 0.03)
        along = -np.einsum("ci,ci->c", forces, normal)
        across = np.linalg.norm(forces + along[:, None] * normal, axis=1)
        assert (across <= 0.35 * along + 1e-9).all()
        assert along.sum() == pytest.approx(10.0, rel=0.05)
        assert np.abs(forces.sum(axis=0)).max() < 0.3
        assert np.abs(np.cross(0.03 * normal, forces).sum(axis=0)).max() < 0.3 * 0.03


def test_a_hand_on_one_side_only_pushes_little() -> None:
    frame = np.eye(3)[[[0, 1, 2]]].reshape(1, 3, 3)
    forces = scene._balanced(np.array([[0.03, 0.0, 0.0]]), frame, 10.0, 0.35, 0.03)
    assert np.linalg.norm(forces) < 3.0


# -- the Shadow hand


@pytest.fixture(scope="module")
def shadow() -> Hand:
    return Hand.shadow()


def around_sphere(hand: Hand) -> Grasps:
    """Fingers and thumb on a sphere of 7 cm, as found by closing the hand on it; and the hand half a metre away."""
    angles = dict(zip(hand.joint_names, np.zeros(len(hand.joint_names)), strict=True)) | SPHERE_GRASP
    joints = np.array([angles[name] for name in hand.joint_names])
    poses = [[*(-SPHERE_CENTER), 1.0, 0.0, 0.0, 0.0], [0.5, *(-SPHERE_CENTER[1:]), 1.0, 0.0, 0.0, 0.0]]
    return grasps_at(poses, [joints, joints], hand.joint_names)


def test_the_hand_holds_a_sphere_and_nothing_from_afar(shadow: Hand) -> None:
    report = judge.validate(SPHERE, shadow, around_sphere(shadow))
    assert report.held.tolist() == [True, False]
    assert report.reasons == ("held", "never touched")
    assert report.displacement[0].max() < 0.02
    # It falls freely, n (n + 1) / 2 g dt² in n steps, and after the first look, at 0.1 s, it is lost.
    assert report.displacement[1] == pytest.approx(np.full(6, 210 * judge.GRAVITY * scene.TIMESTEP**2), rel=1e-6)
    assert judge.validate(SPHERE, shadow, around_sphere(shadow), mass=20.0).held.tolist() == [False, False]
    assert judge.validate(SPHERE, shadow, around_sphere(shadow), friction=(0.02, 0.0)).held.tolist() == [False, False]


def test_servos_press_with_about_the_force_that_is_asked_for(shadow: Hand) -> None:
    model = scene.trial_model(SPHERE, shadow, convex_pieces(SPHERE.vertices, SPHERE.faces), 0.1, (0.7, 0.02))
    start = scene.drive(model, shadow, around_sphere(shadow)[:1], 20.0, 0.7, 0.002, 0.005)
    assert 12.0 < normal_force(model, start) < 28.0


def test_pictures_show_object_and_hand(shadow: Hand, tmp_path: Path) -> None:
    file = tmp_path / "grasps.png"
    picture(SPHERE, shadow, around_sphere(shadow)[[0, 1, 0]], file, columns=2, size=160)
    pixels = imageio.imread(file).astype(int)
    assert pixels.shape == (324, 324, 3)
    red, blue = pixels[..., 0] - pixels[..., 2] > 60, pixels[..., 2] - pixels[..., 0] > 25
    for top, left, near in ((0, 0, True), (0, 164, False), (164, 0, True)):
        tile = slice(top, top + 160), slice(left, left + 160)
        assert red[tile].mean() > 0.03
        assert (blue[tile].mean() > 0.05) == near
        assert (pixels[tile].min(axis=-1) > 200).mean() > 0.3  # the background
    assert (pixels[164:, 164:] == 255).all()
    with pytest.raises(ValueError, match="there are no grasps to draw"):
        picture(SPHERE, shadow, around_sphere(shadow)[:0], file)


@pytest.mark.slow  # compiles the simulator's kernels for this scene
def test_the_simulator_judges_as_mujoco(shadow: Hand) -> None:
    grasps = around_sphere(shadow)
    rng = np.random.default_rng(0)
    pose = np.repeat(grasps.pose[:1], 8, axis=0)
    pose[:, :3] += rng.uniform(-0.006, 0.006, (8, 3))
    several = grasps_at(pose, np.repeat(grasps.joints[:1], 8, axis=0), shadow.joint_names)
    reference, own = (judge.validate(SPHERE, shadow, several, backend) for backend in ("mujoco", "sim"))
    assert (own.held == reference.held).mean() >= 0.75
    both = own.held & reference.held
    assert np.abs(own.displacement - reference.displacement)[both].max() < 0.01
