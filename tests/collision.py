"""Contacts of two geoms in given poses: ours, MuJoCo's, and how ours move when the second geom moves."""

from typing import Any, NamedTuple

import mujoco
import numpy as np
from derivatives import Map, assert_derivative, differentiate, is_smooth
from numpy.typing import NDArray

from gradgym import sim
from gradgym.sim.collision.contacts import collide, contact_motion
from gradgym.sim.kernels.binding import Part, specialise
from gradgym.sim.model.data import Data
from gradgym.sim.pipeline.parts import parts_of

Floats = NDArray[np.float64]
NAMES = {
    "plane": mujoco.mjtGeom.mjGEOM_PLANE,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
}


class Contacts(NamedTuple):
    """Of one pose, in the order of discovery."""

    dist: Floats
    pos: Floats
    frame: Floats

    def sorted(self) -> "Contacts":
        """In an order that does not depend on who found them."""
        order = np.lexsort(np.round(np.column_stack([self.dist, self.pos]), 7).T)
        return Contacts(*(x[order] for x in self))


def _kernels(parts: tuple[Part, ...]) -> tuple[Any, Any]:
    """`collide` and `contact_motion` with the geometry of a model alone: less to compile."""
    return specialise(collide, parts), specialise(contact_motion, parts)


class Pair:
    """Two geoms, types ascending, whose poses are set directly."""

    def __init__(self, kinds: tuple[str, str], sizes: tuple[Floats, Floats], margin: float, gap: float = 0.0) -> None:
        spec = mujoco.MjSpec()
        for kind, size in zip(kinds, sizes, strict=True):
            body = spec.worldbody if kind == "plane" else spec.worldbody.add_body()
            if kind != "plane":
                body.add_freejoint()
            body.add_geom(type=NAMES[kind], size=np.resize(size, 3), margin=margin / 2, gap=gap / 2)
        self.mj_model = spec.compile()
        self.model = sim.Model.from_mujoco(self.mj_model)
        self.theirs, self.ours = mujoco.MjData(self.mj_model), Data.for_model(self.model)
        mujoco.mj_forward(self.mj_model, self.theirs)
        self._collide, self._contact_motion = _kernels(parts_of(self.model))

    def move(self, xpos: Floats, xmat: Floats) -> None:
        """Put both geoms into poses (2, 3), (2, 3, 3)."""
        for data in (self.theirs, self.ours):
            data.geom_xpos[:], data.geom_xmat[:] = xpos, xmat.reshape(2, 9)

    def mujocos(self) -> Contacts:
        mujoco.mj_collision(self.mj_model, self.theirs)
        contact = self.theirs.contact
        return Contacts(contact.dist.copy(), contact.pos.copy(), contact.frame.copy())

    def contacts(self) -> Contacts:
        self.ours.con_pos[:] = self.ours.con_frame[:] = self.ours.con_dist[:] = np.nan
        self._collide(self.model, self.ours)
        n, d = int(self.ours.ncon[0]), self.ours
        return Contacts(d.con_dist[:n].copy(), d.con_pos[:n].copy(), d.con_frame[:n].copy())

    def motion(self, c: int) -> Floats:
        """Rates (7, 6) of contact `c` of the last `contacts`."""
        self.ours.con_motion[:] = np.nan
        self._contact_motion(self.model, self.ours, c)
        return self.ours.con_motion.copy()


def random_rotation(rng: np.random.Generator) -> Floats:
    return rotation(rng.normal(size=3) * rng.uniform(0, 4))


def rotation(vector: Floats) -> Floats:
    """Matrix of a rotation vector."""
    quat, mat, angle = np.zeros(4), np.zeros(9), float(np.linalg.norm(vector))
    mujoco.mju_axisAngle2Quat(quat, vector / angle if angle > 0 else np.array([1.0, 0, 0]), angle)
    mujoco.mju_quat2Mat(mat, quat)
    return mat.reshape(3, 3)


def assert_equal_contacts(pair: Pair) -> int:
    """Ours and MuJoCo's in the present poses; returns their number."""
    ours, theirs = pair.contacts().sorted(), pair.mujocos().sorted()
    assert len(ours.dist) == len(theirs.dist)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-10)
    return len(ours.dist)


def assert_exact_motion(pair: Pair, h: float = 3e-6) -> tuple[int, int]:
    """Every contact's rates equal differences under motion of geom 2 about the contact, world axes.

    Returns how many columns were compared, and how many not, since contacts came, went or changed kind.
    """
    contacts, features = pair.contacts(), pair.ours.con_feature.copy()
    xpos, xmat = pair.ours.geom_xpos.copy(), pair.ours.geom_xmat.reshape(2, 3, 3).copy()
    n, compared, skipped = len(contacts.dist), 0, 0
    for c in range(n):

        def value(twist: Floats, c: int = c) -> Floats:
            turn = rotation(twist[:3])
            arm = turn @ (xpos[1] - contacts.pos[c])
            pair.move(np.array([xpos[0], contacts.pos[c] + arm + twist[3:]]), np.array([xmat[0], turn @ xmat[1]]))
            found = pair.contacts()
            if len(found.dist) != n or not np.array_equal(pair.ours.con_feature[:n], features[:n]):
                return np.full(7, np.nan)
            return np.concatenate([[found.dist[c]], found.pos[c], found.frame[c, :3]])

        value(np.zeros(6))
        exact = pair.motion(c)
        assert np.isfinite(exact).all()
        for column in range(6):
            f = Map(value, lambda x, t: x + t, lambda a, b: b - a)
            found = differentiate(f, np.zeros(6), np.eye(6)[column], h)
            if is_smooth(found):
                assert_derivative(exact[:, column], found, 2e-6)
                compared += 1
            else:
                skipped += 1
    pair.move(xpos, xmat)
    return compared, skipped
