"""Contact-trajectory optimisation: where fingers touch an object, and how they push, so that it moves as desired.

Equations 11 and 12 of Aceituno et al., "A Differentiable Recipe for Learning Visual Non-Prehensile Planar
Manipulation", after Aceituno and Rodriguez, "A global quasi-dynamic model for contact-trajectory optimization", RSS
2020, as a mixed-integer quadratic program that is solved to its global optimum.

A finger keeps to one point of the object, for with forces inside its cone it cannot slide. The points are a grid on
the facets, a binary variable each: the Jacobian of each is exact, and nothing is bilinear. All choices branch off the
root at once. The bound of each is its least cost without cones and limits, in closed form; they are solved in the
order of their bounds until the next bound is no better than the best solution: nothing better is left, the gap is 0.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ...envs.polygon import Polygon, placed
from ...envs.pushing_scene import FINGER_RADIUS
from .least_force import Candidates, Knots, forces_at_knot, search
from .mechanics import CONE_FRICTION, GroundContact, accelerations, cone_rays, ground_contacts, required_wrenches

FORCE_LIMIT = 20.0  # of a finger [N]
ACCELERATION_WEIGHT = 1.0  # Q_p, to forces' weight Q_lam = 1 [N^2 / (m/s^2)^2]
GROUND_WEIGHT = 1e-3  # of the ground's forces, which are free in the paper: it makes them unique
_SPACING, _FROM_CORNER = 0.015, 0.004  # of points on a facet [m]
_APART, _CLEARANCE = 0.02, 0.01  # of fingers from each other and above the ground [m]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ContactPlan:
    """What fingers do over T knots, and the mechanical parameters of appendix A; in the world's frame.

    Attributes:
        p: (T, N, 2) contact points [m].
        lam: (T, N, 2) forces on the object [N].
        lam_e: (T, 2) the ground's force on the object [N], all of it at p_e.
        objective: of the program, [N^2].
        solved: how many choices of contact points were solved; the bounds spare the rest.
        r: (T, 3) poses of the object [m, m, rad].
        jacobian: (T, 3, 2 N): jacobian @ lam.ravel() is the wrench about the centre of mass [N, N, N m].
        facets: (T, N, 2, 2) the two vertices of each finger's facet, counterclockwise [m].
        cones: (T, N, 2, 2) unit edge rays of each finger's cone, into the object.
        p_e: (T, 2) centre of pressure on the ground, or the lowest vertex where it does not push [m].
        cones_e: (T, 2, 2) unit edge rays of the ground's cone, the same twice where it slides, zeros where there is
            no contact.
    """

    p: Floats
    lam: Floats
    lam_e: Floats
    objective: float
    solved: int
    r: Floats
    jacobian: Floats
    facets: Floats
    cones: Floats
    p_e: Floats
    cones_e: Floats


@dataclass(frozen=True)
class ContactPoints:
    """Points of a polygon's boundary where fingers may touch it, in its frame, K of them."""

    points: Floats  # (K, 2) [m]
    normals: Floats  # (K, 2) into the object
    facets: NDArray[np.int64]  # (K,)

    @staticmethod
    def of(polygon: Polygon) -> "ContactPoints":
        """About every 15 mm, 4 mm or more from corners, and nowhere that a finger would touch a second facet."""
        points: list[Floats] = []
        normals: list[Floats] = []
        facets: list[int] = []
        for i, (a, b) in enumerate(zip(polygon.vertices, np.roll(polygon.vertices, -1, axis=0), strict=True)):
            length = float(np.linalg.norm(b - a))
            along, free = (b - a) / length, length - 2.0 * _FROM_CORNER
            inward = np.array([-along[1], along[0]])
            count = int(free / _SPACING) + 1 if free > 0.0 else 0
            for s in (np.arange(count) + 0.5) / max(count, 1):
                point = a + (_FROM_CORNER + s * free) * along
                center = point - FINGER_RADIUS * inward
                if np.linalg.norm(polygon.closest(center).point - center) > FINGER_RADIUS - 1e-9:
                    points.append(point)
                    normals.append(inward)
                    facets.append(i)
        return ContactPoints(np.array(points).reshape(-1, 2), np.array(normals).reshape(-1, 2), np.array(facets, int))

    def where(self, keep: NDArray[np.bool_ | np.int64]) -> "ContactPoints":
        return ContactPoints(self.points[keep], self.normals[keep], self.facets[keep])

    def clear_of_ground(self, r: Floats) -> "ContactPoints":
        """Those that are 1 cm or more above the ground, with the finger's centre, in all poses (T, 3)."""
        centers = self.points - FINGER_RADIUS * self.normals
        heights = [placed(points, r)[..., 1].min(axis=0) for points in (self.points, centers)]
        return self.where(np.minimum(*heights) >= _CLEARANCE)

    def candidates(self) -> Candidates:
        rays = cone_rays(self.normals, CONE_FRICTION)
        x, y = self.points.T
        maps = np.zeros((len(self.points), 3, 2))
        maps[:, 0, 0], maps[:, 1, 1], maps[:, 2, 0], maps[:, 2, 1] = 1.0, 1.0, -y, x
        edges = np.stack([_turned(rays[:, 0]), -_turned(rays[:, 1])], axis=1)
        return Candidates(maps, edges, self.normals * np.sqrt(1.0 + CONE_FRICTION**2))


def plan_contacts(polygon: Polygon, r: Floats, num_fingers: int = 2) -> ContactPlan | None:
    """The global optimum of the program, or None where no choice of contact points is feasible.

    It minimises, over knots, the squares of the fingers' forces, of their points' accelerations and, by a small
    weight, of the ground's forces. Accelerations are those of `mechanics.accelerations`.

    Args:
        polygon: the object, of mass 1 kg.
        r: (T, 3) desired poses [m, m, rad], at `mechanics.DT`.
        num_fingers: how many.

    Raises:
        ValueError: a trajectory of another shape, not finite or under the ground, or no finger.
    """
    r = np.asarray(r, np.float64)
    if r.ndim != 2 or r.shape[1] != 3 or len(r) < 3 or not np.isfinite(r).all():
        raise ValueError(f"trajectory: needs finite poses (T, 3) of T >= 3 knots, has shape {r.shape}")
    if num_fingers < 1:
        raise ValueError(f"num_fingers={num_fingers}: needs at least one")
    lowest = float(placed(polygon.vertices, r)[..., 1].min())
    if lowest < -1e-6:
        raise ValueError(f"trajectory: goes {-1e3 * lowest:.1f} mm under the ground y = 0, raise it")
    spots = ContactPoints.of(polygon).clear_of_ground(r)
    choices = _choices(spots.points, num_fingers)
    if len(choices) == 0:
        return None
    contacts = ground_contacts(polygon, r)
    knots, candidates = _knots(polygon, r, contacts), spots.candidates()
    constants = _acceleration_costs(spots.points, r)[choices].sum(axis=1)
    bounds = constants + _bounds(choices, candidates, knots)
    order = np.argsort(bounds, kind="stable")
    row, objective, solved = search(choices[order], bounds[order], constants[order], candidates, knots, FORCE_LIMIT)
    if row < 0:
        return None
    chosen = choices[order[row]]
    forces = [forces_at_knot(chosen, t, candidates, knots, FORCE_LIMIT) for t in range(len(r))]
    return _plan(polygon, r, spots.where(chosen), contacts, forces, (float(objective), int(solved)))


def _turned(a: Floats) -> Floats:
    return np.stack([-a[..., 1], a[..., 0]], axis=-1)


def _in_body(r: Floats) -> Floats:
    """Rotations (T, 2, 2) from the world to the body."""
    cos, sin = np.cos(r[:, 2]), np.sin(r[:, 2])
    return np.stack([np.stack([cos, sin], axis=1), np.stack([-sin, cos], axis=1)], axis=1)


def _choices(points: Floats, fingers: int) -> NDArray[np.int64]:
    """Sets of `fingers` candidates (L, N) that are all apart."""
    rows = np.array(list(combinations(range(len(points)), fingers)), np.int64).reshape(-1, fingers)
    for i, j in combinations(range(fingers), 2):
        rows = rows[np.linalg.norm(points[rows[:, i]] - points[rows[:, j]], axis=1) >= _APART]
    return rows


def _acceleration_costs(points: Floats, r: Floats) -> Floats:
    paths = np.stack([placed(points, pose) for pose in r])  # (T, K, 2)
    return ACCELERATION_WEIGHT * np.square(accelerations(paths)).sum(axis=(0, 2))


def _knots(polygon: Polygon, r: Floats, contacts: list[GroundContact]) -> Knots:
    """The ground's variables are, vertex by vertex, its force by the root of its weight, or a sliding force's size."""
    rotation = _in_body(r)
    wrenches = required_wrenches(polygon, r)
    wrenches[:, :2] = (rotation @ wrenches[:, :2, None])[..., 0]
    most = max(len(contact.points) for contact in contacts)
    maps, rows = np.zeros((len(r), 3, 2 * most)), np.zeros((len(r), 2 * most, 2 * most))
    counts = np.zeros((len(r), 2), np.int64)
    for t, contact in enumerate(contacts):
        rays = contact.rays @ rotation[t].T
        slides = bool((rays[0] == rays[1]).all())
        basis = rays[:1] if slides else np.eye(2)
        sides = np.ones((1, 1)) if slides else np.stack([_turned(rays[0]), -_turned(rays[1])])
        for point in (contact.points - r[t, :2]) @ rotation[t].T:
            v, c = counts[t]
            maps[t, :2, v : v + len(basis)] = basis.T
            maps[t, 2, v : v + len(basis)] = point[0] * basis[:, 1] - point[1] * basis[:, 0]
            rows[t, c : c + len(sides), v : v + len(basis)] = sides
            counts[t] += len(basis), len(sides)
    return Knots(wrenches, maps / np.sqrt(GROUND_WEIGHT), counts, rows)


def _bounds(choices: NDArray[np.int64], candidates: Candidates, knots: Knots) -> Floats:
    """Least costs of forces (L,) without cones and limits: w' (A A')^-1 w at each knot.

    One finger and no ground leave A singular: what little is added to it can only lower a bound.
    """
    squares = candidates.maps @ candidates.maps.transpose(0, 2, 1)  # (K, 3, 3)
    ground = knots.ground_maps @ knots.ground_maps.transpose(0, 2, 1)  # (T, 3, 3)
    total = squares[choices].sum(axis=1)[:, None] + ground + 1e-9 * np.eye(3)  # (L, T, 3, 3)
    solution = np.linalg.solve(total, np.broadcast_to(knots.wrenches[..., None], (*total.shape[:2], 3, 1)))
    return (knots.wrenches * solution[..., 0]).sum(axis=(1, 2))


def _plan(
    polygon: Polygon,
    r: Floats,
    spots: ContactPoints,
    contacts: list[GroundContact],
    forces: list[Floats],
    result: tuple[float, int],
) -> ContactPlan:
    knots, fingers = len(r), len(spots.points)
    to_world = _in_body(r).transpose(0, 2, 1)
    p = placed(spots.points, r)
    lam = np.stack([y[: 2 * fingers].reshape(fingers, 2) for y in forces]) @ to_world.transpose(0, 2, 1)
    arms = p - r[:, None, :2]
    jacobian = np.zeros((knots, 3, 2 * fingers))
    jacobian[:, 0, 0::2] = jacobian[:, 1, 1::2] = 1.0
    jacobian[:, 2, 0::2], jacobian[:, 2, 1::2] = -arms[..., 1], arms[..., 0]
    ends = np.stack([spots.facets, (spots.facets + 1) % len(polygon.vertices)], axis=1)
    vertices = placed(polygon.vertices, r)  # (T, F, 2)
    cones = cone_rays(spots.normals, CONE_FRICTION)
    lam_e, p_e = np.zeros((knots, 2)), vertices[np.arange(knots), vertices[..., 1].argmin(axis=1)]
    for t, contact in enumerate(contacts):
        if len(contact.points) == 0:
            continue
        y = forces[t][2 * fingers :] / np.sqrt(GROUND_WEIGHT)
        slides = len(y) == len(contact.points)
        each = y[:, None] * contact.rays[:1] if slides else y.reshape(-1, 2) @ to_world[t].T
        lam_e[t] = each.sum(axis=0)
        if lam_e[t, 1] > 1e-6:  # all points are on the line y = 0: one force at the centre of pressure is the same
            p_e[t] = each[:, 1] @ contact.points / lam_e[t, 1]
        else:
            p_e[t] = contact.points.mean(axis=0)
    return ContactPlan(
        p=p,
        lam=lam,
        lam_e=lam_e,
        objective=result[0],
        solved=result[1],
        r=r,
        jacobian=jacobian,
        facets=vertices[:, ends],
        cones=np.einsum("tij,nkj->tnki", to_world, cones),
        p_e=p_e,
        cones_e=np.stack([contact.rays for contact in contacts]),
    )
