"""Height fields against MuJoCo: contacts in its order, steps, and derivatives against differences.

MuJoCo's own collision runs at a tight tolerance. What it approximates is right to the square root of that: where
curved surfaces touch, and where a polytope is expanded in a shape that has a margin, or in a sphere or capsule whose
core is inside the field. Boxes and meshes without a margin it gets wrong, see the test of that name.
"""

from collections.abc import Iterator

import mujoco
import numpy as np
import pytest
from contact_scenes import CONES, tight
from derivatives import assert_constrained_step, smooth_parameters

from gradgym import sim
from gradgym.sim.collision.contacts import collide, contact_motion
from gradgym.sim.kernels.binding import specialise
from gradgym.sim.model.data import Data
from gradgym.sim.pipeline.parts import parts_of

_DIRECTIONS = np.random.default_rng(7).normal(size=(20, 3))
STONE = _DIRECTIONS * (0.12 / np.linalg.norm(_DIRECTIONS, axis=1)[:, None])
SHAPES = {
    "sphere": 'type="sphere" size=".12"',
    "capsule": 'type="capsule" size=".06 .12"',
    "ellipsoid": 'type="ellipsoid" size=".08 .14 .1"',
    "cylinder": 'type="cylinder" size=".08 .12"',
    "box": 'type="box" size=".1 .13 .08"',
    "mesh": 'type="mesh" mesh="stone"',
}
POLYTOPES, CURVED = ("box", "mesh"), ("ellipsoid", "cylinder")
TINY = 1e-9  # m of margin, with which MuJoCo expands polytopes to the end
TILTED = 'pos=".1 .2 .05" quat="1 .1 -.2 .3"'


def field(rows: int = 7, columns: int = 9, seed: int = 0) -> str:
    elevation = np.random.default_rng(seed).uniform(size=(rows, columns))
    return (
        f'<hfield name="f" nrow="{rows}" ncol="{columns}" size=".7 .5 .3 .2" '
        f'elevation="{" ".join(map(str, elevation.ravel()))}"/>'
    )


def scene(
    shapes: list[str], margin: float = 0.0, gap: float = 0.0, place: str = TILTED, asset: str | None = None
) -> mujoco.MjModel:
    """One free body of each shape; they touch the field alone."""
    bodies = "".join(
        f'<body pos="{0.3 * (i % 3) - 0.2} {0.25 * (i // 3)} 0.5"><freejoint/>'
        f'<geom {SHAPES[shape]} contype="0" margin="{margin}" gap="{gap}" friction=".7 .02 .003"/></body>'
        for i, shape in enumerate(shapes)
    )
    spec = mujoco.MjSpec.from_string(
        f'<mujoco><option timestep=".005" ccd_tolerance="1e-14" ccd_iterations="200"/>'
        f"<asset>{field() if asset is None else asset}"
        f'<mesh name="stone" vertex="{" ".join(map(str, STONE.ravel()))}"/></asset>'
        f'<worldbody><geom type="hfield" hfield="f" conaffinity="0" {place}/>{bodies}</worldbody></mujoco>'
    )
    return tight(spec, CONES["elliptic"])


def poses(count: int, seed: int) -> Iterator[np.ndarray]:
    """Of one free body: anywhere about the field, from above it to below its base."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        turn = rng.normal(size=4)
        place = rng.normal(size=3) * (0.5, 0.4, 0.12) + (0.1, 0.2, 0.2)
        yield np.concatenate([place, turn / np.linalg.norm(turn)])


class Engines:
    """One pose in both, contacts alone."""

    def __init__(self, mj_model: mujoco.MjModel, model: sim.Model | None = None) -> None:
        self.model = sim.Model.from_mujoco(mj_model) if model is None else model
        self.mj_model = self.model.mj_model
        self.theirs, self.ours = mujoco.MjData(self.mj_model), Data.for_model(self.model)
        parts = parts_of(self.model)
        self._collide, self._motion = specialise(collide, parts), specialise(contact_motion, parts)

    def move(self, qpos: np.ndarray) -> None:
        self.theirs.qpos[:] = qpos
        mujoco.mj_fwdPosition(self.mj_model, self.theirs)
        self.place(self.theirs.geom_xpos, self.theirs.geom_xmat)

    def place(self, xpos: np.ndarray, xmat: np.ndarray) -> None:
        self.ours.geom_xpos[:], self.ours.geom_xmat[:] = xpos, xmat

    def contacts(self) -> np.ndarray:
        """Ours, (n, 13): distance, position, frame."""
        d = self.ours
        d.con_pos[:] = d.con_frame[:] = d.con_dist[:] = d.prism[:] = np.nan
        self._collide(self.model, d)
        n = int(d.ncon[0])
        return np.column_stack([d.con_dist[:n], d.con_pos[:n], d.con_frame[:n]])

    def mujocos(self) -> np.ndarray:
        contact = self.theirs.contact
        return np.column_stack([contact.dist, contact.pos, contact.frame])

    def motion(self, c: int) -> np.ndarray:
        self.ours.con_motion[:] = np.nan
        self._motion(self.model, self.ours, c)
        return self.ours.con_motion.copy()


def assert_equal(ours: np.ndarray, theirs: np.ndarray, tolerance: float) -> None:
    """The same contacts in the same order; distances to rounding, positions and frames to `tolerance`."""
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours[:, 0], theirs[:, 0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("margin", "gap"), [(0.0, 0.0), (0.03, 0.02)])
@pytest.mark.parametrize("shape", SHAPES)
def test_contacts_equal_mujocos(shape: str, margin: float, gap: float) -> None:
    engines, found, exact = Engines(scene([shape], max(margin, TINY if shape in POLYTOPES else 0.0), gap)), 0, 0
    for qpos in poses(80, 0):
        engines.move(qpos)
        ours, theirs = engines.contacts(), engines.mujocos()
        assert_equal(ours, theirs, 1e-5 if shape in CURVED else 1e-6)
        found += len(ours)
        if shape in CURVED or (shape in POLYTOPES and margin > 0):
            continue
        apart = ours[:, 0] > (-1.0 if shape in POLYTOPES else -0.05)  # cores of sphere and capsule: from the field
        np.testing.assert_allclose(ours[apart], theirs[apart], rtol=0, atol=1e-9)
        exact += apart.sum()
    assert found > 150
    assert exact > 50 or shape in CURVED or (shape in POLYTOPES and margin > 0)


@pytest.mark.parametrize("shape", POLYTOPES)
def test_polytopes_without_margin_have_the_contacts_that_mujoco_finds_with_a_tiny_one(shape: str) -> None:
    """A fault of MuJoCo 4.0: prisms have no numbers of vertices, so that a new one counts as known, and a polytope
    of box or mesh is not expanded to the end. It then reports less depth than there is, and another normal."""
    plain, tiny, wrong = Engines(scene([shape])), Engines(scene([shape], TINY)), 0
    for qpos in poses(60, 1):
        for engines in (plain, tiny):
            engines.move(qpos)
        ours, theirs = plain.contacts(), plain.mujocos()
        assert_equal(ours, tiny.mujocos(), 1e-8)
        assert (ours[:, 0] <= theirs[:, 0] + 1e-9).all()
        wrong += (ours[:, 0] < theirs[:, 0] - 1e-6).sum()
    assert wrong > 0, "MuJoCo no longer stops early: compare both without a margin"


def test_no_more_contacts_than_mujoco_has() -> None:
    """Of a large ball on a fine field, the first fifty; a field of one cell has room for two."""
    engines = Engines(scene(["sphere"], 0.0, asset=field(21, 21, 3).replace('size=".7 .5', 'size=".3 .3')))
    engines.move(np.array([0.1, 0.2, 0.2, 1.0, 0, 0, 0]))
    assert len(engines.mujocos()) == engines.model.nconmax == 50
    assert_equal(engines.contacts(), engines.mujocos(), 1e-6)
    cell = sim.Model.from_mujoco(scene(["sphere", "box"], asset=field(2, 2)))
    assert cell.nconmax == 4


def test_what_is_no_number_touches_nothing() -> None:
    engines = Engines(scene(["capsule"]))
    engines.move(np.array([0.1, 0.2, 0.2, 1.0, 0, 0, 0]))
    xpos, xmat = engines.theirs.geom_xpos.copy(), engines.theirs.geom_xmat.copy()
    assert len(engines.contacts()) > 0
    for array, value in ((xpos, np.nan), (xmat, np.nan), (xpos, np.inf)):
        kept = array[1].copy()
        array[1] = value
        engines.place(xpos, xmat)
        assert len(engines.contacts()) == 0
        array[1] = kept


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("margin", [0.0, 0.04])
def test_motion_of_contacts_equals_differences(shape: str, margin: float) -> None:
    engines, h, checked, kinds = Engines(scene([shape], margin)), 1e-7, 0, set()
    for qpos in poses(12, 2):
        engines.move(qpos)
        xpos, xmat = engines.theirs.geom_xpos.copy(), engines.theirs.geom_xmat.copy()
        centre = engines.contacts()
        for c in range(min(len(centre), 5)):
            engines.place(xpos, xmat)
            engines.contacts()
            kind = tuple(engines.ours.con_kind[c, :2].tolist())
            exact, ends = engines.motion(c), []
            for step in (*(h * np.eye(6)), *(-h * np.eye(6))):
                quat, turn = np.zeros(4), np.zeros(9)
                size = float(np.linalg.norm(step[:3]))
                mujoco.mju_axisAngle2Quat(quat, step[:3] / max(size, 1e-300), size)
                mujoco.mju_quat2Mat(turn, quat)
                rot, point = turn.reshape(3, 3), centre[c, 1:4]
                moved = point + rot @ (xpos[1] - point) + step[3:]
                engines.place(np.array([xpos[0], moved]), np.array([xmat[0], (rot @ xmat[1].reshape(3, 3)).ravel()]))
                ends.append(engines.contacts()[:, :7])
            if any(len(end) != len(centre) for end in ends):
                continue
            plus, minus = np.array([end[c] for end in ends[:6]]), np.array([end[c] for end in ends[6:]])
            if np.abs(plus + minus - 2 * centre[c, :7]).max() > 1e-4 * h:  # another vertex, edge or face takes over
                continue
            numeric = (plus - minus).T / (2 * h)
            np.testing.assert_allclose(exact, numeric, rtol=0, atol=1e-5 * max(1.0, np.abs(numeric).max()))
            checked += 1
            kinds.add(kind)
    assert checked >= 15 and len(kinds) >= 2


def visited(mj_model: mujoco.MjModel, count: int, seed: int) -> Iterator[tuple[sim.State, np.ndarray]]:
    """States of bodies that fall on the field, tumble and slide."""
    rng, d = np.random.default_rng(seed), mujoco.MjData(mj_model)
    for k in range(count):
        if k % 6 == 0:
            mujoco.mj_resetData(mj_model, d)
            d.qvel[:] = rng.normal(scale=0.7, size=mj_model.nv)
            mujoco.mj_step(mj_model, d, nstep=30)
        mujoco.mj_step(mj_model, d, nstep=10)
        yield sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy()), np.zeros(0)


def in_contact(model: sim.Model, state: sim.State) -> int:
    return len(sim.forward(model, state, np.zeros(0)).contact.dist)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_equals_mujocos(shape: str) -> None:
    mj_model = scene([shape, shape], TINY if shape in POLYTOPES else 0.0)
    model, d, touching = sim.Model.from_mujoco(mj_model), mujoco.MjData(mj_model), 0
    for state, _ in visited(mj_model, 30, 3):
        d.qpos[:], d.qvel[:], d.qacc_warmstart[:] = state.qpos, state.qvel, 0.0
        mujoco.mj_step(mj_model, d)
        touching += d.ncon > 0
        ours = sim.step(model, state, np.zeros(0))
        scale = max(1.0, np.abs(d.qvel).max())
        tolerance = 1e-5 if shape in CURVED else 1e-8
        np.testing.assert_allclose(ours.qvel, d.qvel, rtol=0, atol=tolerance * scale)
        np.testing.assert_allclose(ours.qpos, d.qpos, rtol=0, atol=tolerance * scale * model.timestep)
    assert touching >= 10


def test_derivatives_of_a_step_equal_differences() -> None:
    mj_model = scene(list(SHAPES))
    model, smooth, touching = sim.Model.from_mujoco(mj_model), 0, 0
    for k, (state, ctrl) in enumerate(visited(mj_model, 8, 4)):
        count = assert_constrained_step(model, state, ctrl, k)
        smooth += count
        touching += count > 0 and in_contact(model, state) > 6
    assert smooth >= 8 and touching >= 2


def test_gradients_of_parameters_equal_differences() -> None:
    mj_model = scene(["sphere", "capsule", "box"])
    model, names = sim.Model.from_mujoco(mj_model), ("body_mass", "geom_friction", "geom_solref")
    smooth = set[str]()
    for k, (state, ctrl) in enumerate(visited(mj_model, 4, 5)):
        smooth |= smooth_parameters(model, state, ctrl, names, k)
    assert smooth == set(names)


def test_replaced_fields_are_mujocos() -> None:
    """Data and sizes are numbers: a changed model shares kernels, and both engines mean the same by it."""
    model = sim.Model.from_mujoco(scene(["sphere", "capsule"]))
    higher = model.replace(hfield_size=model.hfield_size * [[1.5, 1.2, 3.0, 0.5]], hfield_data=1 - model.hfield_data)
    assert parts_of(higher) == parts_of(model) and higher.sizes == model.sizes
    written = scene(["sphere", "capsule"])
    written.hfield_size[:], written.hfield_data[:] = higher.hfield_size, higher.hfield_data
    mujoco.mj_setConst(written, mujoco.MjData(written))
    np.testing.assert_array_equal(higher.geom_rbound, written.geom_rbound)
    np.testing.assert_array_equal(higher.mj_model.geom_rbound, written.geom_rbound)
    np.testing.assert_array_equal(higher.mj_model.geom_aabb, written.geom_aabb)
    engines, found = Engines(written, higher), 0
    other = mujoco.MjData(written)
    for k, qpos in enumerate(poses(60, 6)):
        both = np.tile(qpos, 2)
        both[2] += 0.4
        engines.move(both)
        assert_equal(engines.contacts(), engines.mujocos(), 1e-6)
        other.qpos[:] = both
        mujoco.mj_fwdPosition(written, other)
        assert other.ncon == engines.theirs.ncon, k
        found += other.ncon
    assert found > 100
    for fields, error in (
        ({"hfield_data": model.hfield_data + 0.5}, "hfield_data is not within 0 and 1"),
        ({"hfield_size": model.hfield_size * [[1, 1, 1, 0]]}, "hfield_size has 0.0"),
    ):
        with pytest.raises(ValueError, match=error):
            model.replace(**fields)
    with pytest.raises(TypeError, match="structure"):
        model.replace(hfield_nrow=model.hfield_nrow)


def test_a_field_among_many_static_geoms_and_on_a_mocap_body() -> None:
    """Broad phases: found through the hierarchy of static boxes, and as a moving body's geom."""
    many = "".join(f'<geom size=".01" pos="{x} 3 0" contype="0"/>' for x in range(8))
    for place in ("<body>{}</body>" + many, '<body mocap="true" pos=".1 0 0" quat="1 .2 0 0">{}</body>'):
        text = (
            f'<mujoco><option ccd_tolerance="1e-12"/><asset>{field()}</asset><worldbody>'
            + place.format(f'<geom type="hfield" hfield="f" {TILTED}/>')
            + f"<body><freejoint/><geom {SHAPES['capsule']}/></body></worldbody></mujoco>"
        )
        engines, found = Engines(mujoco.MjModel.from_xml_string(text)), 0
        for qpos in poses(60, 7):
            engines.move(qpos)
            assert_equal(engines.contacts(), engines.mujocos(), 1e-6)
            found += engines.theirs.ncon
        assert found > 50


def test_the_other_convex_pipeline_is_named() -> None:
    mj_model = scene(["sphere"])
    mj_model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_MULTICCD)
    sim.Model.from_mujoco(mj_model)  # a prism has one contact, with or without
    mj_model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_NATIVECCD)
    with pytest.raises(sim.UnsupportedModelError, match="option flag nativeccd disabled"):
        sim.Model.from_mujoco(mj_model)
