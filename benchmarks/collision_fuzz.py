"""Contacts of every pair of types of geoms, thousands of poses each, against two referees.

    python benchmarks/collision_fuzz.py --poses 1000

The first referee is MuJoCo at a tight tolerance. The second needs no other engine: to move geom 2
along a unit vector n by h1(n) + h2(-n), with h the support functions, ends the overlap; the right
normal is one where that is the depth, and no normal has less.
"""

import argparse
import sys
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from gradgym import sim
from gradgym.sim.collision.contacts import collide
from gradgym.sim.collision.convex import nearest_points
from gradgym.sim.model.contact_pairs import CONVEX
from gradgym.sim.model.data import Data

Floats = NDArray[np.float64]


def _ball(count: int, flatness: float, seed: int) -> Floats:
    points = np.random.default_rng(seed).normal(size=(count, 3))
    return 0.1 * points / np.linalg.norm(points, axis=1)[:, None] * (1, 1, flatness)


def _prism(sides: int, half: float) -> Floats:
    angles = 2 * np.pi * np.arange(sides) / sides
    return np.array([(0.1 * np.cos(a), 0.1 * np.sin(a), z) for a in angles for z in (-half, half)])


def _nearly_flat() -> Floats:
    """Facets that make angles of a few degrees: on a wide shallow dome."""
    x, y = np.meshgrid(np.linspace(-0.1, 0.1, 6), np.linspace(-0.1, 0.1, 6))
    dome = np.column_stack([x.ravel(), y.ravel(), 0.04 - 0.3 * (x.ravel() ** 2 + y.ravel() ** 2)])
    return np.concatenate([dome, [(a, b, -0.05) for a in (-0.1, 0.1) for b in (-0.1, 0.1)]])


MESHES = {
    "wedge": np.array([[0, 0, 0], [0.2, 0, 0], [0, 0.2, 0], [0, 0, 0.2]]),
    "brick": np.array([(x, y, z) for x in (-0.1, 0.1) for y in (-0.08, 0.08) for z in (-0.06, 0.06)]),
    "plate": np.array([(x, y, z) for x in (-0.1, 0.1) for y in (-0.1, 0.1) for z in (-0.004, 0.004)]),
    "prism": _prism(7, 0.07),
    "disc": _prism(24, 0.02),
    "stone": _ball(40, 1.0, 7),
    "pebble": _ball(90, 0.3, 8),
    "dome": _nearly_flat(),
}
SHAPES = {
    "plane": 'type="plane" size="1 1 1"',
    "sphere": 'type="sphere" size=".07"',
    "capsule": 'type="capsule" size=".04 .08"',
    "ellipsoid": 'type="ellipsoid" size=".06 .1 .08"',
    "cylinder": 'type="cylinder" size=".07 .09"',
    "coin": 'type="cylinder" size=".1 .02"',
    "box": 'type="box" size=".08 .1 .06"',
    **{name: f'type="mesh" mesh="{name}"' for name in MESHES},
}
ROUND = ["sphere", "capsule", "ellipsoid", "cylinder", "coin", "box"]
PAIRS = [
    *(("plane", name) for name in SHAPES if name != "plane"),
    *((ROUND[i], ROUND[j]) for i in range(6) for j in range(i, 6)),
    *((name, mesh) for name in ROUND for mesh in MESHES),
    *((list(MESHES)[i], list(MESHES)[j]) for i in range(8) for j in range(i, 8)),
]


def scene(pairs: list[tuple[str, str]], margin: float, multiccd: bool = True) -> mujoco.MjModel:
    """Two bodies of each pair, which only touch each other."""
    assets = "".join(f'<mesh name="{k}" vertex="{" ".join(map(str, v.ravel()))}"/>' for k, v in MESHES.items())
    bodies = "".join(
        f'<body mocap="true"><geom name="{k}{side}" {SHAPES[name]} contype="0" conaffinity="0"/></body>'
        if name == "plane"
        else f'<body><freejoint/><geom name="{k}{side}" {SHAPES[name]} contype="0" conaffinity="0"/></body>'
        for k, pair in enumerate(pairs)
        for side, name in zip("ab", pair, strict=True)
    )
    contacts = "".join(f'<pair geom1="{k}a" geom2="{k}b" margin="{margin}"/>' for k in range(len(pairs)))
    flag = "enable" if multiccd else "disable"
    return mujoco.MjModel.from_xml_string(
        f'<mujoco><option ccd_tolerance="1e-12" ccd_iterations="200"><flag multiccd="{flag}"/></option>'
        f"<asset>{assets}</asset><worldbody>{bodies}</worldbody><contact>{contacts}</contact></mujoco>"
    )


class Shape:
    """Support function of one geom, from the model alone."""

    def __init__(self, m: mujoco.MjModel, g: int) -> None:
        self.kind, self.size = mujoco.mjtGeom(int(m.geom_type[g])), m.geom_size[g].copy()
        self.points = np.zeros((0, 3))
        if self.kind == mujoco.mjtGeom.mjGEOM_MESH:
            first, count = m.mesh_vertadr[m.geom_dataid[g]], m.mesh_vertnum[m.geom_dataid[g]]
            self.points = m.mesh_vert[first : first + count].astype(float)

    def reach(self, directions: Floats) -> Floats:
        """How far the shape extends along each direction (n, 3) in its own frame."""
        size, x = self.size, directions
        if self.kind == mujoco.mjtGeom.mjGEOM_MESH:
            return (x @ self.points.T).max(axis=-1)
        if self.kind == mujoco.mjtGeom.mjGEOM_SPHERE:
            return size[0] * np.linalg.norm(x, axis=-1)
        if self.kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
            return size[0] * np.linalg.norm(x, axis=-1) + size[1] * np.abs(x[..., 2])
        if self.kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
            return np.linalg.norm(size * x, axis=-1)
        if self.kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
            return size[0] * np.hypot(x[..., 0], x[..., 1]) + size[1] * np.abs(x[..., 2])
        return np.abs(x) @ size


class Pose(NamedTuple):
    """Of both geoms: positions (2, 3) and rotation matrices (2, 3, 3)."""

    pos: Floats
    mat: Floats


def separation(shapes: tuple[Shape, Shape], pose: Pose, directions: Floats) -> Floats:
    """How far geom 2 must move along each direction (n, 3) to be apart; negative: how far apart they are."""
    one, two = (s.reach(sign * directions @ mat) for s, sign, mat in zip(shapes, (1, -1), pose.mat, strict=True))
    return one + two - directions @ (pose.pos[1] - pose.pos[0])


def _rotation(vector: Floats) -> Floats:
    quat, mat, angle = np.zeros(4), np.zeros(9), float(np.linalg.norm(vector))
    mujoco.mju_axisAngle2Quat(quat, vector / angle if angle > 0 else np.array([1.0, 0, 0]), angle)
    mujoco.mju_quat2Mat(mat, quat)
    return mat.reshape(3, 3)


def random_pose(rng: np.random.Generator, shapes: tuple[Shape, Shape]) -> Pose:
    """Random, or with axes along each other to within 0 or 1e-9 ... 1e-2; touching, shallow, deep or apart."""
    mat = np.array([_rotation(rng.normal(size=3) * rng.uniform(0, 4)) for _ in range(2)])
    kind = rng.integers(6)
    if kind >= 2:
        quarter = _rotation(np.pi / 2 * np.eye(3)[rng.integers(3)] * rng.integers(4))
        yaw = _rotation(np.array([0, 0, rng.uniform(0, 2 * np.pi) if kind in (3, 5) else 0.0]))
        tilt = _rotation(rng.normal(size=3) * 10 ** rng.uniform(-9, -2) * (kind >= 4))
        mat[1] = mat[0] @ quarter @ yaw @ tilt
    if rng.random() < 0.3:  # in the axes of the world, where coordinates are equal to the last bit
        mat = mat[0].T @ mat
    out = rng.normal(size=3)
    if kind >= 2 and rng.random() < 0.7:
        out = mat[0] @ np.eye(3)[rng.integers(3)] + rng.choice([0.0, 0.0, 1e-6, 0.03, 0.3]) * out
    out /= np.linalg.norm(out)
    apart = separation(shapes, Pose(np.zeros((2, 3)), mat), out[None])[0]
    depth = rng.choice([1e-6, 1e-4, 1e-2, 0.1, 0.5, 0.9]) * rng.uniform(0.2, 1.1) * rng.choice([1.0, 1.0, -0.1])
    side = rng.normal(size=3) * rng.choice([0.0, 0.01, 0.05])
    pos = rng.normal(size=3) * rng.choice([0.0, 1.0])
    return Pose(np.array([pos, pos + out * apart * (1 - depth) + side - out * (side @ out)]), mat)


class Found(NamedTuple):
    """Contacts of one pair: distances (n,), positions and normals (n, 3)."""

    dist: Floats
    pos: Floats
    normal: Floats


class Fuzz:
    """A scene of pairs in both engines, whose poses are set directly."""

    def __init__(self, pairs: list[tuple[str, str]], margin: float = 0.0) -> None:
        self.pairs, self.margin, self.mj_model = pairs, margin, scene(pairs, margin)
        self.single_model = scene(pairs, margin, multiccd=False)
        self.model = sim.Model.from_mujoco(self.mj_model)
        self.ours, self.theirs = Data.for_model(self.model), mujoco.MjData(self.mj_model)
        self.single = mujoco.MjData(self.single_model)
        for m, d in ((self.mj_model, self.theirs), (self.single_model, self.single)):
            mujoco.mj_forward(m, d)
        order = {tuple(sorted(map(int, g))): k for k, g in enumerate(self.model.con_geom)}
        self.row = [order[2 * k, 2 * k + 1] for k in range(len(pairs))]
        self.geoms = [(int(a), int(b)) for a, b in self.model.con_geom[self.row]]
        self.shapes = [(Shape(self.mj_model, a), Shape(self.mj_model, b)) for a, b in self.geoms]

    def move(self, poses: list[Pose]) -> None:
        """Put the geoms of every pair into a pose."""
        for geoms, pose in zip(self.geoms, poses, strict=True):
            for data in (self.theirs, self.single, self.ours):
                for g, pos, mat in zip(geoms, *pose, strict=True):
                    data.geom_xpos[g], data.geom_xmat[g] = pos, mat.ravel()

    def contacts(self) -> list[Found]:
        """Ours, of every pair."""
        collide(self.model, self.ours)
        d, n = self.ours, int(self.ours.ncon[0])
        mine = [np.flatnonzero(d.con_pair[:n] == row) for row in self.row]
        return [Found(d.con_dist[c].copy(), d.con_pos[c].copy(), d.con_frame[c, :3].copy()) for c in mine]

    def mujocos(self, single: bool = False) -> list[Found]:
        """MuJoCo's, of every pair; `single`: one contact at most."""
        m, d = (self.single_model, self.single) if single else (self.mj_model, self.theirs)
        mujoco.mj_collision(m, d)
        contact = d.contact
        first = np.minimum(contact.geom1, contact.geom2) // 2
        theirs = [np.flatnonzero(first == k) for k in range(len(self.pairs))]
        return [Found(contact.dist[c].copy(), contact.pos[c].copy(), contact.frame[c, :3].copy()) for c in theirs]

    def nearest(self, k: int) -> Found | None:
        """The single contact of a convex pair, before others are made around it."""
        if self.model.con_family[self.row[k]] != CONVEX or self.pairs[k][0] == "plane":
            return None
        found, dist, normal = nearest_points(self.model, self.ours, *self.geoms[k], self.margin)
        return Found(np.array([dist]), self.ours.ccd_point.mean(axis=0)[None], np.array([normal])) if found else None


class Row:
    """What became of the poses of one pair."""

    def __init__(self) -> None:
        self.poses = self.touching = self.counts = self.theirs_wrong = self.unsound = self.deeper = 0
        self.dist = self.normal = self.mismatch = 0.0

    def add(self, shapes: tuple[Shape, Shape], pose: Pose, found: tuple[Found, Found | None, Found, Found]) -> None:
        """Take one pose in: all contacts and the single one, ours, then MuJoCo's."""
        ours, near, theirs, single = found
        self.poses += 1
        if not len(ours.dist) and not len(theirs.dist):
            return
        self.touching += 1
        sound = True
        if near is not None and len(single.dist):
            bound = float(separation(shapes, pose, single.normal)[0])
            mismatch = abs(float(separation(shapes, pose, near.normal)[0]) + float(near.dist[0]))
            sound = abs(bound + float(single.dist[0])) < SOUND
            self.mismatch = max(self.mismatch, mismatch)
            self.unsound += mismatch > SOUND
            self.deeper += -float(near.dist[0]) > bound + SOUND
            self.theirs_wrong += not sound
        if not sound:
            return
        self.counts += len(ours.dist) != len(theirs.dist) and max(map(deepest, (ours, theirs))) > SOUND
        if len(ours.dist) == len(theirs.dist):
            i, j = np.argmin(ours.dist), np.argmin(theirs.dist)
            self.dist = max(self.dist, abs(float(ours.dist[i] - theirs.dist[j])))
            if len(ours.dist) > 1:
                self.normal = max(self.normal, float(np.linalg.norm(ours.normal[i] - theirs.normal[j])))


def deepest(found: Found) -> float:
    """Depth of the deepest contact; 0: none."""
    return max(0.0, -float(found.dist.min())) if len(found.dist) else 0.0


SOUND = 2e-8  # depth, to the tolerance of GJK and EPA on curved surfaces [m]


def table(pairs: list[tuple[str, str]], count: int, seed: int, margin: float = 0.0) -> dict[tuple[str, str], Row]:
    """Fuzz all pairs with `count` poses each."""
    fuzz, rng, rows = Fuzz(pairs, margin), np.random.default_rng(seed), {pair: Row() for pair in pairs}
    for _ in range(count):
        poses = [random_pose(rng, shapes) for shapes in fuzz.shapes]
        fuzz.move(poses)
        ours, theirs, single = fuzz.contacts(), fuzz.mujocos(), fuzz.mujocos(single=True)
        for k, pair in enumerate(pairs):
            rows[pair].add(fuzz.shapes[k], poses[k], (ours[k], fuzz.nearest(k), theirs[k], single[k]))
    return rows


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--poses", type=int, default=1000, help="of each pair")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--margin", type=float, default=0.0, help="of each pair [m]")
    parser.add_argument("--types", nargs="+", choices=list(SHAPES), help="only pairs of these")
    arguments = parser.parse_args(argv)
    chosen = set(arguments.types or SHAPES)
    pairs = [pair for pair in PAIRS if set(pair) <= chosen]
    print(
        "Distances [m]. `off`: our normal does not separate by our depth; `deeper`: MuJoCo's normal separates earlier;"
    )
    print("`MuJoCo off`: its own does not separate by its depth (these are left out of the columns before).")
    print("| pair | in contact | worst distance | worst normal | counts differ | off | worst | deeper | MuJoCo off |")
    print("|---|---|---|---|---|---|---|---|---|")
    for pair, row in table(pairs, arguments.poses, arguments.seed, arguments.margin).items():
        print(
            f"| {'-'.join(pair)} | {row.touching} | {row.dist:.1e} | {row.normal:.1e} | {row.counts} | {row.unsound} | "
            f"{row.mismatch:.1e} | {row.deeper} | {row.theirs_wrong} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
