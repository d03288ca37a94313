"""Contacts of convex geoms against MuJoCo, and how they move against differences.

MuJoCo's own collision runs at a tight tolerance: what is left is rounding for polytopes, and for
curved surfaces, and round geoms that lie deep in another, where MuJoCo expands a polytope towards
the surface, the square root of that (a distance right to 1e-12 has a normal right to 1e-6).
"""

from collections.abc import Iterator

import mujoco
import numpy as np
import pytest
from contact_scenes import CONES, tight, visited_states

from gradgym import sim
from gradgym.sim.collision.contacts import collide, contact_motion
from gradgym.sim.dynamics.kinematics import geom_site_poses, kinematics
from gradgym.sim.model.data import Data


def _ball(count: int) -> np.ndarray:
    points = np.random.default_rng(7).normal(size=(count, 3))
    return 0.15 * points / np.linalg.norm(points, axis=1)[:, None]


def _prism(sides: int) -> np.ndarray:
    angles = 2 * np.pi * np.arange(sides) / sides
    return np.array([(0.15 * np.cos(a), 0.15 * np.sin(a), z) for a in angles for z in (-0.1, 0.1)])


MESHES = {
    "tetrahedron": np.array([[0, 0, 0], [0.3, 0, 0], [0, 0.3, 0], [0, 0, 0.3]]),
    "brick": np.array([(x, y, z) for x in (-0.1, 0.1) for y in (-0.12, 0.12) for z in (-0.08, 0.08)]),
    "prism": _prism(7),
    "stone": _ball(40),
}
SHAPES = {
    "plane": 'type="plane" size="1 1 1"',
    "sphere": 'type="sphere" size=".1"',
    "capsule": 'type="capsule" size=".06 .12"',
    "ellipsoid": 'type="ellipsoid" size=".08 .12 .1"',
    "cylinder": 'type="cylinder" size=".08 .12"',
    "box": 'type="box" size=".1 .13 .08"',
}
ASSETS = "".join(
    f'<mesh name="{name}" vertex="{" ".join(map(str, points.ravel()))}"/>' for name, points in MESHES.items()
)
PAIRS = [
    *(("plane", name) for name in MESHES),
    *(("sphere", name) for name in MESHES),
    *(("capsule", name) for name in MESHES),
    *(("box", name) for name in MESHES),
    *(("ellipsoid", name) for name in ("ellipsoid", "cylinder", "box", "tetrahedron", "stone")),
    *[("sphere", "ellipsoid"), ("capsule", "ellipsoid"), ("capsule", "cylinder")],
    *(("cylinder", name) for name in ("cylinder", "box", "prism", "stone")),
    *[("brick", "brick"), ("tetrahedron", "stone"), ("prism", "brick"), ("prism", "stone"), ("stone", "stone")],
]
PILE = """
<mujoco>
  <option timestep="0.005" ccd_tolerance="1e-13" ccd_iterations="200"/>
  <asset>{assets}</asset>
  <default><geom condim="{condim}" friction="0.7 0.02 0.003"/></default>
  <worldbody>
    <geom type="plane" size="5 5 .1" quat="0.99 0.03 0.05 0"/>
    <body pos="0 0 0.12"><freejoint/><geom type="mesh" mesh="prism"/></body>
    <body pos="0.05 0.02 0.35" euler="5 3 40"><freejoint/><geom type="mesh" mesh="brick"/></body>
    <body pos="-0.03 0 0.6"><freejoint/><geom type="sphere" size="0.08"/></body>
    <body pos="0.25 0.05 0.2"><freejoint/><geom type="mesh" mesh="stone"/></body>
    <body pos="0 0.04 0.75" euler="80 20 0"><freejoint/><geom type="capsule" size="0.05 0.12"/></body>
    <body pos="-0.2 0.1 0.15"><freejoint/><geom type="mesh" mesh="tetrahedron" margin="0.01" gap="0.01"/></body>
  </worldbody>
</mujoco>"""


def _geom(name: str) -> str:
    return SHAPES.get(name, f'type="mesh" mesh="{name}"')


def pair_model(first: str, second: str, margin: float = 0.0) -> mujoco.MjModel:
    """Two free bodies of one geom each (a plane is fixed); `margin` is that of the pair."""
    bodies = "".join(
        f'<geom {_geom(name)} margin="{margin / 2}"/>'
        if name == "plane"
        else f'<body><freejoint/><geom {_geom(name)} margin="{margin / 2}"/></body>'
        for name in (first, second)
    )
    return mujoco.MjModel.from_xml_string(
        f'<mujoco><option ccd_tolerance="1e-12" ccd_iterations="200"/><asset>{ASSETS}</asset>'
        f"<worldbody>{bodies}</worldbody></mujoco>"
    )


def poses(nq: int, count: int, seed: int) -> Iterator[np.ndarray]:
    """Random, parallel and nearly parallel poses, from far apart to deep inside."""
    rng = np.random.default_rng(seed)
    for k in range(count):
        qpos = np.zeros((nq // 7, 7))
        qpos[:, :3] = rng.normal(size=(nq // 7, 3)) * rng.choice([0.08, 0.15])
        turn = rng.normal(size=(nq // 7, 4))
        qpos[:, 3:] = turn if k % 3 == 0 else (1, 0, 0, 0) + (0 if k % 3 == 1 else 0.01) * turn
        qpos[:, 3:] /= np.linalg.norm(qpos[:, 3:], axis=1)[:, None]
        yield qpos.ravel()


def _sorted(pos: np.ndarray) -> np.ndarray:
    return np.lexsort(np.round(pos, 5).T)


def _is_ambiguous(first: str, second: str, pos: np.ndarray) -> bool:
    """Whether rounding chooses MuJoCo's positions: two equal corners, corners of a regular polygon, parallel lines."""
    apart = np.linalg.norm(pos[:, None] - pos[None], axis=2) + np.eye(len(pos))
    flat = first == "cylinder" and len(pos) > 2
    return bool(apart.min() < 1e-9 or flat) or (second == "cylinder" and first in ("capsule", "cylinder"))


@pytest.mark.parametrize("margin", [0.0, 0.03])
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_contacts_equal_mujoco(first: str, second: str, margin: float) -> None:
    mj_model = pair_model(first, second, margin)
    model, d, found, several = sim.Model.from_mujoco(mj_model), mujoco.MjData(mj_model), 0, 0
    curved = first in ("ellipsoid", "cylinder") or second in ("ellipsoid", "cylinder")
    tolerance = 2e-5 if curved else (1e-6 if margin > 0 or first in ("sphere", "capsule") else 1e-9)
    for k, qpos in enumerate(poses(mj_model.nq, 60, 0)):
        d.qpos[:] = qpos
        mujoco.mj_forward(mj_model, d)
        contact = sim.forward(model, sim.State(qpos, np.zeros(model.nv), np.zeros(0)), np.zeros(0)).contact
        assert len(contact.dist) == d.ncon
        if d.ncon == 0:
            continue
        normals = contact.frame.reshape(-1, 9)[:, :3]
        theirs, ours = _sorted(d.contact.pos), _sorted(contact.pos)
        if _is_ambiguous(first, second, d.contact.pos) and (d.ncon > 1 or k % 3 == 1):
            theirs, ours = np.argsort(d.contact.dist)[:1], np.argsort(contact.dist)[:1]
        else:
            np.testing.assert_allclose(contact.pos[ours], d.contact.pos[theirs], rtol=0, atol=tolerance)
        np.testing.assert_allclose(contact.dist[ours], d.contact.dist[theirs], rtol=0, atol=tolerance)
        np.testing.assert_allclose(normals[ours], d.contact.frame[theirs, :3], rtol=0, atol=tolerance)
        found += 1
        several += d.ncon > 1
    assert found >= 10
    assert several >= 3 or first == "sphere" or "ellipsoid" in (first, second) or second == "cylinder"


def _rotation(turn: np.ndarray) -> np.ndarray:
    quat, mat = np.zeros(4), np.zeros(9)
    mujoco.mju_axisAngle2Quat(quat, turn / max(np.linalg.norm(turn), 1e-300), np.linalg.norm(turn))
    mujoco.mju_quat2Mat(mat, quat)
    return mat.reshape(3, 3)


@pytest.mark.parametrize("margin", [0.0, 0.03])
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_motion_equals_differences(first: str, second: str, margin: float) -> None:
    m = sim.Model.from_mujoco(pair_model(first, second, margin))
    d, h, checked = Data.for_model(m), 1e-7, 0
    g = m.con_geom[0, 1]

    def found(pos: np.ndarray, mat: np.ndarray) -> np.ndarray:
        d.geom_xpos[g], d.geom_xmat[g] = pos, mat.ravel()
        collide(m, d)
        n = d.ncon[0]
        return np.column_stack([d.con_dist[:n], d.con_pos[:n], d.con_frame[:n, :3]])

    for qpos in poses(m.nq, 40, 1):
        d.qpos[:] = qpos
        kinematics(m, d)
        geom_site_poses(m, d)
        pos, mat = d.geom_xpos[g].copy(), d.geom_xmat[g].reshape(3, 3).copy()
        for c in range(len(found(pos, mat))):
            centre = found(pos, mat)
            contact_motion(m, d, c)
            exact, point = d.con_motion.copy(), centre[c, 1:4].copy()
            ends = []
            for i in range(12):
                step = np.zeros(6)
                step[i % 6] = h if i < 6 else -h
                turn = _rotation(step[:3])
                ends.append(found(point + turn @ (pos - point) + step[3:], turn @ mat))
            if any(len(end) != len(centre) for end in ends):
                continue
            plus, minus = np.array([end[c] for end in ends[:6]]), np.array([end[c] for end in ends[6:]])
            if np.abs(plus + minus - 2 * centre[c]).max() > 1e-4 * h:  # another vertex, edge or face takes over
                continue
            numeric = (plus - minus).T / (2 * h)
            np.testing.assert_allclose(exact, numeric, rtol=0, atol=1e-5 * max(1.0, np.abs(numeric).max()))
            checked += 1
    assert checked >= 5


@pytest.mark.parametrize("condim", [1, 3, 4, 6])
@pytest.mark.parametrize("cone", CONES)
def test_piles_equal_mujoco(cone: str, condim: int) -> None:
    mj_model = tight(mujoco.MjSpec.from_string(PILE.format(assets=ASSETS, condim=condim)), CONES[cone])
    model, touching = sim.Model.from_mujoco(mj_model), 0
    for d in visited_states(mj_model, 45, 0):
        d.qacc_warmstart[:] = 0
        mujoco.mj_forward(mj_model, d)
        ours = sim.forward(model, sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy()), np.zeros(0))
        assert len(ours.contact.dist) == d.ncon
        for name in ("qacc", "qfrc_constraint"):
            theirs = getattr(d, name)
            scale = max(1.0, np.abs(theirs).max())
            np.testing.assert_allclose(getattr(ours, name), theirs, rtol=0, atol=1e-6 * scale)
        touching += d.ncon > 5
    assert touching >= 30


def tangent_between(m: sim.Model, a: sim.State, b: sim.State) -> np.ndarray:
    dq = np.zeros(m.nv)
    mujoco.mj_differentiatePos(m.mj_model, dq, 1.0, a.qpos, b.qpos)
    return np.concatenate([dq, b.qvel - a.qvel])


@pytest.mark.parametrize("cone", CONES)
def test_step_jacobian_of_a_pile_equals_differences(cone: str) -> None:
    mj_model = tight(mujoco.MjSpec.from_string(PILE.format(assets=ASSETS, condim=3)), CONES[cone], 0)
    m, rng, h, checked = sim.Model.from_mujoco(mj_model), np.random.default_rng(1), 1e-7, 0
    for d in visited_states(mj_model, 12, 5):
        s = sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy())
        jac, centre = sim.step_jacobian(m, s, np.zeros(0)), sim.step(m, s, np.zeros(0))
        rows = np.sign(sim.forward(m, s, np.zeros(0)).efc_force)
        for _ in range(6):
            x, ends = rng.normal(size=2 * m.nv), []
            for sign in (1, -1):
                qpos = s.qpos.copy()
                mujoco.mj_integratePos(mj_model, qpos, sign * h * x[: m.nv], 1.0)
                ends.append(sim.State(qpos, s.qvel + sign * h * x[m.nv :], s.act))
            if any(not np.array_equal(np.sign(sim.forward(m, end, np.zeros(0)).efc_force), rows) for end in ends):
                continue
            plus, minus = (tangent_between(m, centre, sim.step(m, end, np.zeros(0))) for end in ends)
            if np.abs(plus + minus).max() > 1e-3 * np.abs(plus - minus).max():  # a contact has jumped
                continue
            numeric, exact = (plus - minus) / (2 * h), jac.A @ x
            np.testing.assert_allclose(exact, numeric, rtol=0, atol=1e-5 * max(1.0, np.abs(numeric).max()))
            checked += len(rows) > 10
    assert checked >= 10


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_degenerate_poses_stay_finite(first: str, second: str) -> None:
    """Equal centres and poses, exact touching, huge and tiny distances: finite numbers, no hang."""
    m = sim.Model.from_mujoco(pair_model(first, second, 0.01))
    rng, many = np.random.default_rng(0), 300
    qpos = np.zeros((many, m.nq // 7, 7))
    qpos[:, :, :3] = rng.choice([0, 0, 0.1, -0.1, 0.2, 1e-9, -1e-16, 0.26], size=(many, m.nq // 7, 3))
    qpos[:, :, 3:] = rng.choice([0, 0, 1, -1, 1e-8], size=(many, m.nq // 7, 4))
    qpos[:, :, 3] += 1e-3
    qpos[:, :, 3:] /= np.linalg.norm(qpos[:, :, 3:], axis=2, keepdims=True)
    state = sim.State(qpos.reshape(many, m.nq), np.zeros((many, m.nv)), np.zeros((many, 0)))
    assert np.isfinite(sim.forward(m, state, np.zeros((many, 0))).qacc).all()
    for k in range(0, many, 10):
        one = sim.State(state.qpos[k], state.qvel[k], state.act[k])
        assert np.isfinite(sim.step_jacobian(m, one, np.zeros(0)).A).all()


def test_thin_meshes_and_slivers_stay_finite() -> None:
    thin = np.array([(x, y, z) for x in (-0.2, 0.2) for y in (-0.1, 0.1) for z in (-1e-5, 1e-5)])
    needle = np.array([[0, 0, 0], [1e-4, 0, 0], [0, 1e-4, 0], [0, 0, 0.5]])
    meshes = "".join(
        f'<mesh name="{name}" inertia="exact" vertex="{" ".join(map(str, points.ravel()))}"/>'
        for name, points in (("thin", thin), ("needle", needle))
    )
    bodies = "".join(
        f'<body pos="0 0 {0.001 * k}"><freejoint/><inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>'
        f"<geom {shape}/></body>"
        for k, shape in enumerate(['type="mesh" mesh="thin"', 'type="mesh" mesh="needle"', SHAPES["sphere"]])
    )
    m = sim.Model.from_xml_string(
        f'<mujoco><asset>{meshes}</asset><worldbody><geom type="plane" size="1 1 1"/>{bodies}</worldbody></mujoco>'
    )
    rng = np.random.default_rng(0)
    qpos = np.tile(m.qpos0, (300, 1)) + rng.choice([0, 1e-6, 1e-3, 0.1], size=(300, 1)) * rng.normal(size=(300, m.nq))
    qpos = qpos.reshape(300, 3, 7)
    qpos[:, :, 3:] /= np.linalg.norm(qpos[:, :, 3:], axis=2, keepdims=True)
    state = sim.State(qpos.reshape(300, m.nq), np.zeros((300, m.nv)), np.zeros((300, 0)))
    assert np.isfinite(sim.forward(m, state, np.zeros((300, 0))).qacc).all()


def test_the_other_convex_pipelines_are_named() -> None:
    spec = mujoco.MjSpec.from_string(PILE.format(assets=ASSETS, condim=3))
    spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_MULTICCD)
    with pytest.raises(sim.UnsupportedModelError, match="option flag multiccd disabled"):
        sim.Model.from_mujoco(spec)


def test_one_contact_is_what_pairs_of_round_geoms_have_anyway() -> None:
    mj_model = pair_model("ellipsoid", "box")
    for flag, refused in (("MULTICCD", False), ("NATIVECCD", True)):
        mj_model.opt.disableflags = int(getattr(mujoco.mjtDisableBit, f"mjDSBL_{flag}"))
        if refused:
            with pytest.raises(sim.UnsupportedModelError, match="option flag nativeccd disabled"):
                sim.Model.from_mujoco(mj_model)
            continue
        model, d, touching = sim.Model.from_mujoco(mj_model), mujoco.MjData(mj_model), 0
        for qpos in poses(mj_model.nq, 20, 2):
            d.qpos[:] = qpos
            mujoco.mj_forward(mj_model, d)
            contact = sim.forward(model, sim.State(qpos, np.zeros(model.nv), np.zeros(0)), np.zeros(0)).contact
            assert len(contact.dist) == d.ncon <= 1
            np.testing.assert_allclose(contact.pos, d.contact.pos, rtol=0, atol=2e-5)
            touching += d.ncon
        assert touching >= 5


def test_touching_within_the_margin_is_a_contact() -> None:
    """Bricks whose faces just touch, where GJK and EPA both find the origin on the surface."""
    mj_model = pair_model("brick", "brick", 0.01)
    model, d = sim.Model.from_mujoco(mj_model), mujoco.MjData(mj_model)
    for axis, apart in ((0, 0.2), (1, 0.24), (2, 0.16)):
        d.qpos[:] = (0, 0, 0, 1, 0, 0, 0) * 2
        d.qpos[7 + axis] = apart
        mujoco.mj_forward(mj_model, d)
        state = sim.State(d.qpos.copy(), np.zeros(model.nv), np.zeros(0))
        found = sim.forward(model, state, np.zeros(0))
        assert len(found.contact.dist) == 4
        np.testing.assert_allclose(found.contact.dist, 0, atol=1e-6)
        np.testing.assert_allclose(found.qacc, d.qacc, atol=1e-5 * np.abs(d.qacc).max())
