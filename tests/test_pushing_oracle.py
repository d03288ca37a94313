"""The contact-trajectory program: its solutions by mechanics, its optimum by exhaustion and by SCIP."""

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linprog

from gradgym.agents.pushing import oracle
from gradgym.agents.pushing.least_force import forces_at_knot, least_norm
from gradgym.agents.pushing.mechanics import accelerations, ground_contacts
from gradgym.agents.pushing.oracle import ContactPlan, ContactPoints, plan_contacts
from gradgym.agents.pushing.shapes import random_polygon
from gradgym.agents.pushing.trajectories import random_trajectory
from gradgym.envs.polygon import Polygon

Floats = NDArray[np.float64]
BLOCK = Polygon([[-0.05, -0.03], [0.05, -0.03], [0.05, 0.03], [-0.05, 0.03]])
STEPS = np.arange(5.0)[:, None]


def at(x: float, y: float, dx: float = 0.0, dy: float = 0.0) -> Floats:
    """A block that moves steadily."""
    return np.array([x, y, 0.0]) + STEPS * np.array([dx, dy, 0.0])


def drawn(seed: int, facets: int = 5) -> tuple[Polygon, Floats]:
    rng = np.random.default_rng(seed)
    polygon = random_polygon(facets, rng)
    return polygon, random_trajectory(polygon, rng)


def planned(polygon: Polygon, r: Floats, num_fingers: int = 2) -> ContactPlan:
    plan = plan_contacts(polygon, r, num_fingers)
    assert plan is not None
    return plan


def test_least_norm_against_proxsuite_and_infeasibility_against_a_linear_program() -> None:
    proxqp: Any = pytest.importorskip("proxsuite", reason="the extra 'pushing'").proxqp.dense
    rng = np.random.default_rng(0)
    counts = [0, 0]
    for _ in range(300):
        n, m = int(rng.integers(4, 11)), int(rng.integers(3, 14))
        a, w = rng.standard_normal((3, n)), rng.standard_normal(3)
        c, d = rng.standard_normal((m, n)), rng.choice([0.0, 0.0, -0.5, 0.3], m)
        c /= np.linalg.norm(c, axis=1, keepdims=True)
        y = np.zeros(n)
        found = least_norm(a, w, c, d, y)
        feasible = linprog(np.zeros(n), -c, -d, a, w, (None, None)).status == 0
        assert found == feasible
        counts[feasible] += 1
        if feasible:
            qp = proxqp.QP(n, 3, m)
            qp.settings.eps_abs, qp.settings.eps_rel = 1e-10, 0.0
            qp.init(np.eye(n), np.zeros(n), a, w, c, d, np.full(m, 1e20))
            qp.solve()
            np.testing.assert_allclose(y, qp.results.x, atol=1e-7)
    assert min(counts) > 30


def test_equations_that_repeat_each_other() -> None:
    a = np.array([[1.0, 2.0, 0.0, 0.0], [2.0, 4.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    c, d, y = np.array([[0.0, 0.0, 0.0, 1.0]]), np.array([0.5]), np.zeros(4)
    assert least_norm(a, np.array([5.0, 10.0, 3.0]), c, d, y)
    np.testing.assert_allclose(y, [1.0, 2.0, 3.0, 0.5], atol=1e-12)
    assert not least_norm(a, np.array([5.0, 11.0, 3.0]), c, d, y)


@pytest.mark.parametrize("num_fingers", [2, 3])
def test_plans_bring_the_motion_about(num_fingers: int) -> None:
    """Newton's law with world forces at world points; cones, limit and places by angles and distances."""
    for seed in range(12):
        polygon, r = drawn(seed, (4, 6, 12)[seed % 3])
        plan = plan_contacts(polygon, r, num_fingers)
        if plan is None:
            continue
        change = np.diff(r, axis=0) / 0.1
        a = np.zeros((5, 3))
        a[1:-1] = np.diff(change, axis=0) / 0.1
        arms, arm_e = plan.p - r[:, None, :2], plan.p_e - r[:, :2]
        force = plan.lam.sum(axis=1) + plan.lam_e + np.array([0.0, -9.81])
        np.testing.assert_allclose(force, a[:, :2], atol=1e-7)
        torque = (arms[..., 0] * plan.lam[..., 1] - arms[..., 1] * plan.lam[..., 0]).sum(axis=1)
        wrench = np.einsum("tij,tj->ti", plan.jacobian, plan.lam.reshape(5, -1))
        np.testing.assert_allclose(wrench[:, :2], plan.lam.sum(axis=1), atol=1e-12)
        np.testing.assert_allclose(wrench[:, 2], torque, atol=1e-12)
        torque += arm_e[:, 0] * plan.lam_e[:, 1] - arm_e[:, 1] * plan.lam_e[:, 0]
        np.testing.assert_allclose(torque, polygon.inertia * a[:, 2], atol=1e-7)
        facet = plan.facets[..., 1, :] - plan.facets[..., 0, :]
        length = np.linalg.norm(facet, axis=-1)
        along = facet / length[..., None]
        inward = np.stack([-along[..., 1], along[..., 0]], axis=-1)
        normal, tangential = (plan.lam * inward).sum(-1), (plan.lam * along).sum(-1)
        assert (np.abs(tangential) <= 0.7 * normal + 1e-7).all()
        assert (np.linalg.norm(plan.lam, axis=-1) <= 20.0 + 1e-9).all()
        for ray, sign in ((0, 1.0), (1, -1.0)):
            expected = (inward + sign * 0.7 * along) / np.hypot(1.0, 0.7)
            np.testing.assert_allclose(plan.cones[..., ray, :], expected, atol=1e-12)
        share = ((plan.p - plan.facets[..., 0, :]) * along).sum(-1)
        assert (share >= 0.004 - 1e-9).all()
        assert (share <= length - 0.004 + 1e-9).all()
        np.testing.assert_allclose(((plan.p - plan.facets[..., 0, :]) * inward).sum(-1), 0.0, atol=1e-12)
        np.testing.assert_allclose(share, share[:1].repeat(5, axis=0), atol=1e-12)
        assert plan.p[..., 1].min() >= 0.01 - 1e-9
        for i, j in combinations(range(num_fingers), 2):
            assert np.linalg.norm(plan.p[:, i] - plan.p[:, j], axis=-1).min() >= 0.02 - 1e-9


def exhausted(polygon: Polygon, r: Floats, num_fingers: int) -> float:
    """Least cost over all choices, each by all of its knots."""
    spots = ContactPoints.of(polygon).clear_of_ground(r)
    knots, candidates = oracle._knots(polygon, r, ground_contacts(polygon, r)), spots.candidates()
    costs = oracle._acceleration_costs(spots.points, r)
    least = np.inf
    for chosen in combinations(range(len(spots.points)), num_fingers):
        pairs = combinations(spots.points[list(chosen)], 2)
        if min((float(np.linalg.norm(a - b)) for a, b in pairs), default=1.0) < 0.02:
            continue
        forces = [forces_at_knot(np.array(chosen), t, candidates, knots, 20.0) for t in range(len(r))]
        if all(len(y) for y in forces):
            least = min(least, costs[list(chosen)].sum() + sum(float(y @ y) for y in forces))
    return least


@pytest.mark.parametrize("seed", range(6))
def test_nothing_better_is_left(seed: int) -> None:
    polygon, r = drawn(seed)
    plan = planned(polygon, r)
    assert plan.objective == pytest.approx(exhausted(polygon, r, 2), rel=1e-9)


def test_nothing_better_is_left_with_three_fingers() -> None:
    polygon, r = drawn(1, 4)
    assert planned(polygon, r, 3).objective == pytest.approx(exhausted(polygon, r, 3), rel=1e-9)


def test_bounds_are_below_the_costs_and_spare_choices() -> None:
    polygon, r = drawn(5, 12)
    spots = ContactPoints.of(polygon).clear_of_ground(r)
    knots, candidates = oracle._knots(polygon, r, ground_contacts(polygon, r)), spots.candidates()
    choices = oracle._choices(spots.points, 2)
    bounds = oracle._bounds(choices, candidates, knots)
    for row in range(0, len(choices), 7):
        forces = [forces_at_knot(choices[row], t, candidates, knots, 20.0) for t in range(len(r))]
        if all(len(y) for y in forces):
            assert bounds[row] <= sum(float(y @ y) for y in forces) + 1e-7
    assert planned(polygon, r).solved < 0.9 * len(choices)
    assert planned(BLOCK, at(0.0, 0.13)).solved < 40


class Program:
    """The program as the paper writes it, for SCIP: a binary variable for each point of each of two fingers."""

    def __init__(self, polygon: Polygon, r: Floats) -> None:
        self.scip: Any = pytest.importorskip("pyscipopt", reason="the extra 'pushing'")
        self.model: Any = self.scip.Model()
        self.model.hideOutput()
        self.model.setParam("limits/gap", 0.0)
        self.model.setParam("numerics/feastol", 1e-8)
        self.spots, self.r, self.terms = ContactPoints.of(polygon).clear_of_ground(r), r, []
        self.paths = np.stack([rotated(self.spots.points, pose[2]) + pose[:2] for pose in r])
        self._choose()
        needed = accelerations(r) * np.array([1.0, 1.0, polygon.inertia]) + np.array([0.0, 9.81, 0.0])
        for t, contact in enumerate(ground_contacts(polygon, r)):
            wrench: list[Any] = [0.0, 0.0, 0.0]
            for c, k in product(range(2), range(len(self.spots.points))):
                self._add_finger(wrench, t, c, k)
            for point in contact.points:
                self._add_ground(wrench, point - r[t, :2], contact.rays)
            for i in range(3):
                self.model.addCons(wrench[i] == needed[t, i])

    def optimum(self) -> float | None:
        total = self.model.addVar(lb=0.0)
        self.model.addCons(self.scip.quicksum(self.terms) <= total)
        self.model.setObjective(total)
        self.model.optimize()
        return float(self.model.getObjVal()) if self.model.getStatus() == "optimal" else None

    def _choose(self) -> None:
        points = range(len(self.spots.points))
        self.chosen = [[self.model.addVar(vtype="B") for _ in points] for _ in range(2)]
        for one in self.chosen:
            self.model.addCons(self.scip.quicksum(one) == 1)
        for i, j in product(points, points):
            if np.linalg.norm(self.spots.points[i] - self.spots.points[j]) < 0.02:
                self.model.addCons(self.chosen[0][i] + self.chosen[1][j] <= 1)
        for c, k in product(range(2), points):
            self.terms.append(float(np.square(accelerations(self.paths[:, k])).sum()) * self.chosen[c][k])

    def _add_finger(self, wrench: list[Any], t: int, c: int, k: int) -> None:
        inward = rotated(self.spots.normals[k], self.r[t, 2])
        size, side = self.model.addVar(lb=0.0), self.model.addVar(lb=None)
        self.model.addCons(side <= 0.7 * size)
        self.model.addCons(-side <= 0.7 * size)
        self.model.addCons(np.hypot(1.0, 0.7) * size <= 20.0 * self.chosen[c][k])
        self.terms += [size * size, side * side]
        x, y = size * inward[0] + side * inward[1], size * inward[1] - side * inward[0]
        push(wrench, self.paths[t, k] - self.r[t, :2], x, y)

    def _add_ground(self, wrench: list[Any], arm: Floats, rays: Floats) -> None:
        first, second = self.model.addVar(lb=0.0), self.model.addVar(lb=0.0)
        if (rays[0] == rays[1]).all():
            self.model.addCons(second == 0.0)
        x, y = (first * rays[0, i] + second * rays[1, i] for i in range(2))
        push(wrench, arm, x, y)
        self.terms.append(1e-3 * (x * x + y * y))


def push(wrench: list[Any], arm: Floats, x: Any, y: Any) -> None:
    wrench[0] += x
    wrench[1] += y
    wrench[2] += arm[0] * y - arm[1] * x


@pytest.mark.parametrize("seed", [0, 4, 9])
def test_scip_finds_the_same_optimum(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "_SPACING", 0.05)
    polygon, r = drawn(seed, 4)
    plan, optimum = plan_contacts(polygon, r), Program(polygon, r).optimum()
    if seed == 4:
        assert plan is optimum is None  # on so coarse a grid
    else:
        assert plan is not None
        assert plan.objective == pytest.approx(optimum, rel=1e-5)


def rotated(points: Floats, angle: float) -> Floats:
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def test_what_rests_is_left_to_the_ground() -> None:
    plan = planned(BLOCK, at(0.0, 0.03))
    np.testing.assert_allclose(plan.lam, 0.0, atol=0.05)  # but for the ground's small weight
    np.testing.assert_allclose(plan.lam_e, [[0.0, 9.81]] * 5, atol=0.05)
    np.testing.assert_allclose(plan.p_e, 0.0, atol=2e-3)


def test_what_is_held_in_the_air_hangs_on_the_fingers() -> None:
    plan = planned(BLOCK, at(0.0, 0.13))
    np.testing.assert_allclose(plan.lam.sum(axis=1), [[0.0, 9.81]] * 5, atol=1e-9)
    np.testing.assert_allclose(plan.lam[..., 0], 0.0, atol=1e-9)  # from below, and nothing squeezes it
    assert (plan.cones_e == 0.0).all()
    np.testing.assert_allclose(plan.p_e[:, 1], 0.1, atol=1e-12)


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_what_slides_rubs_with_the_simulators_friction(direction: float) -> None:
    plan = planned(BLOCK, at(0.0, 0.03, dx=0.02 * direction))
    half = np.sqrt(0.5)
    np.testing.assert_allclose(plan.cones_e, np.broadcast_to([-direction * half, half], (5, 2, 2)), atol=1e-12)
    np.testing.assert_allclose(plan.lam_e[:, 0], -direction * plan.lam_e[:, 1], atol=1e-9)
    # Least forces take some of the weight off the ground, and push forward by what is left times friction 1.
    np.testing.assert_allclose(
        plan.lam.sum(axis=1),
        direction * plan.lam_e[:, 1:] * [[1.0, 0.0]] + (9.81 - plan.lam_e[:, 1:]) * [[0.0, 1.0]],
        atol=1e-9,
    )
    assert (plan.lam.sum(axis=1)[:, 0] * direction > 1.0).all()


def test_the_ground_carries_neither_what_leaves_nor_what_falls() -> None:
    y = np.array([0.03, 0.03, 0.03, 0.05, 0.03])
    r = np.stack([np.zeros(5), y, np.zeros(5)], axis=1)
    pushing = [len(contact.points) for contact in ground_contacts(BLOCK, r)]
    assert pushing == [2, 2, 0, 0, 0]


def test_a_vertex_that_turns_round_keeps_its_cone() -> None:
    r = np.stack([np.array([0.0, 0.02, 0.0, -0.02, -0.02]), np.full(5, 0.03), np.zeros(5)], axis=1)
    slides = [bool((c.rays[0] == c.rays[1]).all()) for c in ground_contacts(BLOCK, r)]
    assert slides == [True, False, True, False, False]


def test_what_tips_over_a_corner_does_not_slide() -> None:
    angle = 0.1 + 0.1 * STEPS[:, 0]
    corner = np.stack([rotated(BLOCK.vertices[0], a) for a in angle])
    r = np.column_stack([-corner, angle])  # about the origin
    slides = [bool((c.rays[0] == c.rays[1]).all()) for c in ground_contacts(BLOCK, r)]
    assert [len(c.points) for c in ground_contacts(BLOCK, r)] == [1] * 5
    assert not any(slides)
    r[:, 0] = 0.0  # so the corner slips by what it should stay behind
    assert all((c.rays[0] == c.rays[1]).all() for c in ground_contacts(BLOCK, r))


def test_no_finger_touches_two_facets() -> None:
    notch = Polygon(
        [[-0.06, -0.05], [0.06, -0.05], [0.06, 0.05], [0.003, 0.05], [0.0, 0.0], [-0.003, 0.05], [-0.06, 0.05]]
    )
    spots = ContactPoints.of(notch)
    assert {3, 4}.isdisjoint(spots.facets)  # no room between them
    assert {0, 1, 2, 5, 6} == set(spots.facets.tolist())


def test_infeasible_programs_and_bad_input() -> None:
    assert plan_contacts(BLOCK, at(0.0, 0.13) + np.array([0.0, 0.0, 0.3]), num_fingers=1) is None
    fall = at(0.0, 0.3)
    fall[2, 1] += 0.3  # and down again by more than two fingers can pull
    assert plan_contacts(BLOCK, fall, num_fingers=2) is None
    with pytest.raises(ValueError, match=r"goes 10\.0 mm under the ground"):
        plan_contacts(BLOCK, at(0.0, 0.02))
    with pytest.raises(ValueError, match="finite poses"):
        plan_contacts(BLOCK, np.zeros((5, 2)))
    with pytest.raises(ValueError, match="num_fingers=0"):
        plan_contacts(BLOCK, at(0.0, 0.03), num_fingers=0)
