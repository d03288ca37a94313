"""What the broad phase passes over has no contact: against all pairs of geoms, and against MuJoCo."""

from collections.abc import Iterator

import mujoco
import numpy as np
import pytest

from gradgym import sim
from gradgym.sim.collision.contacts import collide
from gradgym.sim.model import contact_pairs
from gradgym.sim.model.data import Data

BOX, CAPSULE, CYLINDER, ELLIPSOID, MESH, PLANE, SPHERE = (
    getattr(mujoco.mjtGeom, f"mjGEOM_{name}")
    for name in ("BOX", "CAPSULE", "CYLINDER", "ELLIPSOID", "MESH", "PLANE", "SPHERE")
)


def _add_geoms(body: mujoco.MjsBody, rng: np.random.Generator, kinds: list[mujoco.mjtGeom], spread: float) -> None:
    """Geoms of all sizes, long ones too, somewhere around the body."""
    for kind in kinds:
        geom = body.add_geom(
            type=kind,
            size=0.03 * rng.uniform(0.5, 2.0, size=3) * (6.0 if rng.random() < 0.2 else 1.0),
            pos=rng.normal(scale=spread, size=3),
            quat=rng.normal(size=4),
            margin=rng.choice([0.0, 0.02]),
            gap=rng.choice([0.0, 0.01]),
        )
        if kind == MESH:
            geom.meshname = "stone"


def clutter() -> mujoco.MjModel:
    """Static geoms on two bodies, a floor, and bodies of one or several geoms: alone, in trees, moved from outside."""
    spec, rng = mujoco.MjSpec(), np.random.default_rng(2)
    # off its centre, as the box around a geom of a mesh may be
    spec.add_mesh(name="stone", uservert=(0.05 * rng.normal(size=(20, 3)) + [0.1, 0, 0]).ravel(), refpos=[0.03, 0, 0])
    spec.worldbody.add_geom(type=PLANE, size=[1, 1, 1], pos=[0, 0, -0.5])
    _add_geoms(spec.worldbody, rng, [BOX, MESH, CAPSULE, SPHERE, CYLINDER, ELLIPSOID] * 3, 0.5)
    wall = spec.worldbody.add_body(name="wall", pos=[0.1, 0.2, 0.1], quat=[0.9, 0.1, -0.3, 0.2])
    _add_geoms(wall, rng, [BOX, BOX, SPHERE, CAPSULE], 0.4)
    guided = spec.worldbody.add_body(mocap=True)
    _add_geoms(guided, rng, [BOX, SPHERE, CAPSULE], 0.1)
    for kinds in ([BOX, SPHERE, CAPSULE], [MESH, BOX, SPHERE], [CAPSULE], [SPHERE, CAPSULE]):
        trunk = spec.worldbody.add_body()
        trunk.add_freejoint()
        _add_geoms(trunk, rng, kinds, 0.1)
        for _ in range(2):
            limb = trunk.add_body(pos=rng.normal(scale=0.1, size=3))
            limb.add_joint(axis=rng.normal(size=3))
            _add_geoms(limb, rng, kinds, 0.1)
    for kind in (SPHERE, BOX):
        single = spec.worldbody.add_body()
        single.add_freejoint()
        _add_geoms(single, rng, [kind], 0.0)
    return spec.compile()


def poses(mj_model: mujoco.MjModel, count: int) -> Iterator[mujoco.MjData]:
    """Bodies anywhere among the static geoms."""
    rng, d = np.random.default_rng(0), mujoco.MjData(mj_model)
    free = mj_model.jnt_qposadr[mj_model.jnt_type == mujoco.mjtJoint.mjJNT_FREE]
    for _ in range(count):
        d.qpos[:] = rng.normal(size=mj_model.nq)
        for at in free:
            d.qpos[at : at + 3] = rng.normal(scale=0.4, size=3)
        d.mocap_pos[:], d.mocap_quat[:] = rng.normal(scale=0.4, size=3), rng.normal(size=4)
        mujoco.mj_normalizeQuat(mj_model, d.qpos)
        mujoco.mj_kinematics(mj_model, d)
        mujoco.mj_comPos(mj_model, d)
        yield d


def contacts(model: sim.Model, d: mujoco.MjData) -> np.ndarray:
    """Geoms, distance and point of all contacts at the poses in `d`, sorted."""
    ours = Data.for_model(model)
    ours.geom_xpos[:], ours.geom_xmat[:] = d.geom_xpos, d.geom_xmat
    collide(model, ours)
    n = ours.ncon[0]
    found = np.column_stack([model.con_geom[ours.con_pair[:n]], ours.con_dist[:n], ours.con_pos[:n]])
    return found[np.lexsort(found.T)]


def met(model: sim.Model, d: mujoco.MjData, at: int, place: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Contacts between the geoms `own` and others when the free joint at qpos `at` is at `place`."""
    d.qpos[at : at + 3] = place
    mujoco.mj_kinematics(model.mj_model, d)
    found = contacts(model, d)
    return found[np.isin(found[:, :2], own).sum(axis=1) == 1]


@pytest.fixture
def exhaustive(monkeypatch: pytest.MonkeyPatch) -> sim.Model:
    """The cluttered scene with every pair of geoms tested."""
    with monkeypatch.context() as patched:
        patched.setattr(contact_pairs, "places_of", lambda m, geom: np.zeros((len(geom), 3), int))
        model = sim.Model.from_mujoco(clutter())
    assert model.nalways == model.npair
    return model


def test_no_contact_is_passed_over(exhaustive: sim.Model) -> None:
    """Exactly those that are found when every pair of geoms is tested, in scenes where all kinds of groups count."""
    mj_model = clutter()
    model = sim.Model.from_mujoco(mj_model)
    place = model.contact_pairs.place
    kind = place[:, 0] + (place[:, 1] >= mj_model.nbody)  # 3: groups of two trees
    touching = np.zeros(4, int)
    assert exhaustive.npair == model.npair
    pair_of = {tuple(geoms): k for geoms, k in zip(model.con_geom.tolist(), kind, strict=True)}
    for d in poses(mj_model, 60):
        found = contacts(model, d)
        np.testing.assert_array_equal(found, contacts(exhaustive, d))
        for a, b in found[:, :2].astype(int).tolist():
            touching[pair_of[a, b]] += 1
    assert touching.min() > 20


def test_contacts_begin_at_their_margin(exhaustive: sim.Model) -> None:
    """A robot that comes from afar: the first contact, whose geoms are still apart, is not missed."""
    mj_model = clutter()
    model, rng, apart = sim.Model.from_mujoco(mj_model), np.random.default_rng(1), 0
    free = np.flatnonzero(mj_model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
    for k, d in enumerate(poses(mj_model, 40)):
        joint = rng.choice(free)
        at, tree = mj_model.jnt_qposadr[joint], mj_model.body_treeid[mj_model.jnt_bodyid[joint]]
        own = np.flatnonzero(mj_model.body_treeid[mj_model.geom_bodyid] == tree)
        home, way = d.qpos[at : at + 3].copy(), np.eye(3)[k % 3]  # along an axis boxes are no larger than the gap
        near, far = 0.0, 4.0
        if len(met(exhaustive, d, at, home + near * way, own)) == 0:
            continue
        for _ in range(14):
            middle = 0.5 * (near + far)
            if len(met(exhaustive, d, at, home + middle * way, own)):
                near = middle
            else:
                far = middle
        first = met(exhaustive, d, at, home + near * way, own)
        np.testing.assert_array_equal(met(model, d, at, home + near * way, own), first)
        apart += int(np.any(first[:, 2] > 0.005))
    assert apart > 10


def test_cluttered_scene_equals_mujoco() -> None:
    """The same pairs of geoms touch, as deep."""
    mj_model = clutter()
    mj_model.opt.ccd_tolerance, mj_model.opt.ccd_iterations = 1e-13, 200
    model = sim.Model.from_mujoco(mj_model)
    for d in poses(mj_model, 30):
        mujoco.mj_collision(mj_model, d)
        found = contacts(model, d)
        ours, theirs = ({} for _ in range(2))
        for pairs, geoms, dist in ((ours, found[:, :2], found[:, 2]), (theirs, d.contact.geom, d.contact.dist)):
            for (a, b), depth in zip(geoms.astype(int).tolist(), dist, strict=True):
                pairs[a, b] = min(depth, pairs.get((a, b), np.inf))
        assert ours.keys() == theirs.keys()
        for pair, depth in theirs.items():
            assert abs(ours[pair] - depth) < 1e-6, pair


def test_boxes_follow_a_changed_model() -> None:
    """A static body put elsewhere, and geoms of another size, touch where they are now."""
    mj_model = clutter()
    model, wall = sim.Model.from_mujoco(mj_model), mj_model.body("wall").id
    d = next(poses(mj_model, 1))
    before = contacts(model, d)
    body_pos, geom_size = model.body_pos.copy(), model.geom_size.copy()
    body_pos[wall] += [0.3, -0.2, 0.1]
    boxes = mj_model.geom_type == BOX
    geom_size[boxes] *= 0.7
    changed = model.replace(body_pos=body_pos, geom_size=geom_size)
    moved = mujoco.MjData(changed.mj_model)
    moved.qpos[:], moved.mocap_pos[:], moved.mocap_quat[:] = d.qpos, d.mocap_pos, d.mocap_quat
    mujoco.mj_kinematics(changed.mj_model, moved)
    mujoco.mj_collision(changed.mj_model, moved)
    found = contacts(changed, moved)
    assert {tuple(sorted(pair)) for pair in found[:, :2].astype(int).tolist()} == {
        tuple(sorted(pair)) for pair in moved.contact.geom.tolist()
    }
    assert len(found) != len(before)
