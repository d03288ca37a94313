"""Several robots in one scene: MuJoCo's motion, exact gradients, and a cost that is the sum of theirs."""

import mujoco
import numpy as np
import pytest
from contact_scenes import CONES, assert_equal_forward, tight, visited_states, with_pgs
from crowds import Place, bugs, ends_meet, heap, laikagos, line
from derivatives import assert_constrained_step

from gradgym import sim
from gradgym.sim.collision.broad_phase import group_within_reach
from gradgym.sim.model.workspaces import workspace
from gradgym.sim.pipeline.entry_points import entry_points

SCENES = {
    "laikagos side by side": lambda: laikagos(line(3, 0.28, 0.45)),
    "heap of laikagos": lambda: laikagos(heap(4, 0.3, 0.45)),
    "heap of bugs": lambda: bugs(heap(8, 0.16, 0.1)),
    "first and last bug": lambda: bugs(ends_meet(6, 0.11, 0.07)),
    "heap of coupled bugs": lambda: bugs(heap(6, 0.16, 0.1), coupled=True),
    "coupled bugs": lambda: bugs(ends_meet(6, 0.3, 0.07), coupled=True),
}


def moving(d: mujoco.MjData) -> tuple[sim.State, np.ndarray]:
    return sim.State(d.qpos.copy(), d.qvel.copy(), d.act.copy()), d.ctrl.copy()


def touching_trees(mj_model: mujoco.MjModel, d: mujoco.MjData) -> set[tuple[int, int]]:
    """Pairs of trees with a contact."""
    trees = np.sort(mj_model.body_treeid[mj_model.geom_bodyid[d.contact.geom]], axis=1)
    return {(int(a), int(b)) for a, b in trees if 0 <= a != b}


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize("name", SCENES)
def test_acceleration_and_force_equal_mujoco(name: str, cone: str) -> None:
    mj_model = tight(SCENES[name](), CONES[cone])
    assert assert_equal_forward(mj_model, 45) >= 30


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize("name", ["heap of bugs", "first and last bug"])
def test_gauss_seidel_equals_mujoco(name: str, cone: str) -> None:
    mj_model = tight(SCENES[name](), CONES[cone])
    model = with_pgs(mj_model)
    for d in visited_states(mj_model, 20, 0):
        d.qacc_warmstart[:] = 0
        mujoco.mj_forward(mj_model, d)
        found = sim.forward(model, *moving(d))
        for ours, theirs in ((found.qacc, d.qacc), (found.qfrc_constraint, d.qfrc_constraint)):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * max(1.0, np.abs(theirs).max()))


@pytest.mark.parametrize("name", SCENES)
def test_islands_are_mujocos(name: str) -> None:
    """But for trees between those of a tendon, which join its island."""
    mj_model = SCENES[name]().compile()
    model, several, met = sim.Model.from_mujoco(mj_model), 0, set()
    for d in visited_states(mj_model, 30, 1):
        mujoco.mj_forward(mj_model, d)
        if d.nefc == 0:
            continue
        with workspace(model) as data:
            data.qpos[:], data.qvel[:], data.act[:], data.ctrl[:] = d.qpos, d.qvel, d.act, d.ctrl
            entry_points(model).forward(model, data)
            ours, rows = data.tree_island.copy(), data.island_nefc[: data.nisland[0]].copy()
        with_rows = d.tree_island >= 0
        assert (rows[ours[with_rows]] > 0).all()
        a, b = ours[with_rows], d.tree_island[with_rows]
        same, theirs = a[:, None] == a, b[:, None] == b
        assert same[theirs].all()
        if model.ntendon == 0:
            assert (same == theirs).all() and (rows[ours[~with_rows]] == 0).all()
        several += data.nisland[0] > 1
        met |= touching_trees(mj_model, d)
    assert met or name == "coupled bugs"
    assert several > 0 or "heap" in name
    assert (0, model.ntree - 1) in met or name != "first and last bug"


HEAPS = ("heap of bugs", "first and last bug", "heap of coupled bugs", "heap of laikagos")
DERIVATIVES = [
    *((name, "newton") for name in HEAPS),
    *((name, "pgs") for name in HEAPS[:2]),
    pytest.param(HEAPS[2], "pgs", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize(("name", "solver"), DERIVATIVES)
def test_derivatives_across_trees(name: str, solver: str, cone: str) -> None:
    """Jacobian and vector-Jacobian product by differences at states with contacts between trees."""
    mj_model = tight(SCENES[name](), CONES[cone])
    model = sim.Model.from_mujoco(mj_model) if solver == "newton" else with_pgs(mj_model, 1e-25)
    smooth = 0
    for i, d in enumerate(visited_states(mj_model, 150, 2)):
        mujoco.mj_forward(mj_model, d)
        if touching_trees(mj_model, d) and smooth < 8:
            smooth += assert_constrained_step(model, *moving(d), seed=i)
    assert smooth >= 5


@pytest.mark.slow
@pytest.mark.parametrize("cone", CONES)
def test_both_adjoints_agree_across_trees(cone: str) -> None:
    """On a heap where sweeps, thousands of them, leave more noise than differences bear: against Newton's."""
    mj_model = tight(SCENES["heap of laikagos"](), CONES[cone])
    newton, pgs, compared = sim.Model.from_mujoco(mj_model), with_pgs(mj_model, 1e-25), 0
    for d in visited_states(mj_model, 6, 2):
        mujoco.mj_forward(mj_model, d)
        if touching_trees(mj_model, d):
            one, other = (sim.step_jacobian(model, *moving(d)) for model in (newton, pgs))
            for ours, expected in ((other.A, one.A), (other.B, one.B)):
                np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6 * np.abs(one.A).max())
            compared += 1
    assert compared >= 3


@pytest.mark.parametrize("cone", CONES)
def test_robots_far_apart_move_as_if_alone(cone: str) -> None:
    """Forward, gradients, and iterations: none waits for another."""
    places = [(4.0 * i, 0.0, 0.42) for i in range(3)]
    one, three = (tight(laikagos(p), CONES[cone]) for p in (places[:1], places))
    alone, together = sim.Model.from_mujoco(one), sim.Model.from_mujoco(three)
    visited = [moving(d) for d in visited_states(one, 45, 4)]
    robots = [visited[i] for i in (8, 22, 40)]
    shift = [np.array([x, *np.zeros(18)]) for x, _, _ in places]
    state = sim.State(
        np.concatenate([s.qpos + x for (s, _), x in zip(robots, shift, strict=True)]),
        np.concatenate([s.qvel for s, _ in robots]),
        np.zeros(0),
    )
    ctrl, nv = np.concatenate([c for _, c in robots]), alone.nv
    found, each = sim.forward(together, state, ctrl), [sim.forward(alone, *robot) for robot in robots]
    expected = np.concatenate([f.qacc for f in each])
    np.testing.assert_allclose(found.qacc, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    assert len(found.contact.dist) == sum(len(f.contact.dist) for f in each) > 0
    cotangent = np.random.default_rng(0).normal(size=(2, 3, nv))
    vjp = sim.step_vjp(together, state, ctrl, cotangent.reshape(-1))
    for i, robot in enumerate(robots):
        part = sim.step_vjp(alone, *robot, cotangent[:, i].reshape(-1))
        by_state, by_ctrl = vjp.state.reshape(2, 3, nv)[:, i].reshape(-1), vjp.ctrl.reshape(3, -1)[i]
        for ours, theirs in ((by_state, part.state), (by_ctrl, part.ctrl)):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8 * max(1.0, np.abs(theirs).max()))


def cost(places: list[Place]) -> dict[str, int]:
    """What a step of bugs at `places` goes through: entries of the Hessian and of J, pairs of geoms tested."""
    model = sim.Model.from_mujoco(bugs(places))
    with workspace(model) as data:
        data.qpos[:], data.qvel[:], data.act[:] = model.initial_state()[:3]
        data.ctrl[:] = 0.0
        entry_points(model).forward(model, data)
        near = [g for g in range(model.ngroup) if group_within_reach(model, data, g)]
        return {
            "contacts": int(data.ncon[0]),
            "islands": int(data.nisland[0]),
            "hessian": int((np.arange(model.nv) - data.qH_first + 1).sum()),
            "jacobian": int(data.efc_dofnum[: data.nefc[0]].sum()),
            "pairs": model.nalways + int(sum(model.group_pairnum[g] for g in near)),
            "width": model.nefcdof,
        }


@pytest.mark.parametrize(("spacing", "islands"), [(1.0, 16), (0.095, 1)])
def test_cost_grows_with_the_number_of_robots(spacing: float, islands: int) -> None:
    """Apart, and each touching the next: twice as many robots add twice as much."""
    four, eight, sixteen = (cost(line(n, spacing, 0.058)) for n in (4, 8, 16))
    assert sixteen["islands"] == islands and four["contacts"] > 0
    for name in ("contacts", "hessian", "jacobian", "pairs"):
        assert sixteen[name] - eight[name] == 2 * (eight[name] - four[name]), name
    assert four["width"] == sixteen["width"]  # no row is wider in a larger crowd


def test_cost_does_not_depend_on_the_order_of_robots() -> None:
    """A line of robots that touch, told in any order: those that touch are brought near one another."""
    places = line(12, 0.095, 0.058)
    shuffled = [places[i] for i in np.random.default_rng(0).permutation(12)]
    told, untold = cost(places), cost(shuffled)
    assert untold["islands"] == 1
    assert untold["hessian"] == told["hessian"]


def test_only_the_islands_that_meet_cost_more() -> None:
    """The last robot touches the first: they alone share a block, wherever they stand in the scene."""
    far, met = (cost(ends_meet(6, spacing, 0.058)) for spacing in (1.0, 0.095))
    assert met["islands"] == far["islands"] - 1
    assert 0 < met["hessian"] - far["hessian"] <= 8 * 8  # of both robots' eight degrees of freedom
