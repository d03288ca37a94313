"""Forces of the contacts on the bodies: MuJoCo's values, and derivatives by central differences."""

import mujoco
import numpy as np
import pytest
from derivatives import moved
from numpy.typing import NDArray
from parity import random_state, spoil_workspaces
from random_models import SMOOTH_MECHANISM
from test_sim_contact import ASSETS, CONES, MIXED, tight, visited_states

from gradgym import sim
from gradgym.sim import mujoco_twin

Floats = NDArray[np.float64]
CONTACT = {int(getattr(mujoco.mjtConstraint, f"mjCNSTR_CONTACT_{x}")) for x in ("FRICTIONLESS", "PYRAMIDAL", "ELLIPTIC")}
LIMIT = int(mujoco.mjtConstraint.mjCNSTR_LIMIT_JOINT)
SATISFIED = int(mujoco.mjtConstraintState.mjCNSTRSTATE_SATISFIED)
QUADRATIC = int(mujoco.mjtConstraintState.mjCNSTRSTATE_QUADRATIC)


def compiled(name: str, cone: str, condim: int = 4) -> mujoco.MjModel:
    """One of Gymnasium's models, or the piles of test_sim_contact, at tight solver tolerance."""
    mixed = name == "mixed"
    spec = mujoco.MjSpec.from_string(MIXED.format(condim=condim)) if mixed else mujoco.MjSpec.from_file(path_of(name))
    return tight(spec, CONES[cone])


def path_of(name: str) -> str:
    return str(ASSETS / f"{name}.xml")


def situations(mj_model: mujoco.MjModel, count: int, seed: int) -> tuple[sim.State, Floats]:
    """A batch of visited states and controls."""
    rows = [(d.qpos.copy(), d.qvel.copy(), d.act.copy(), d.ctrl.copy()) for d in visited_states(mj_model, count, seed)]
    qpos, qvel, act, ctrl = (np.stack(column) for column in zip(*rows, strict=True))
    return sim.State(qpos, qvel, act), ctrl


def entry(state: sim.State, i: int) -> sim.State:
    return sim.State(*(x[i] for x in state))


def mujoco_force(mj_model: mujoco.MjModel, state: sim.State, ctrl: Floats) -> mujoco.MjData:
    d = mujoco.MjData(mj_model)
    d.qpos[:], d.qvel[:], d.act[:], d.ctrl[:] = *state, ctrl
    mujoco.mj_forward(mj_model, d)
    mujoco.mj_rnePostConstraint(mj_model, d)
    return d


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize(
    ("name", "condim"), [("ant", 3), ("humanoid", 3), ("mixed", 1), ("mixed", 3), ("mixed", 4), ("mixed", 6)]
)
def test_force_equals_mujoco(name: str, condim: int, cone: str) -> None:
    mj_model = compiled(name, cone, condim)
    m = sim.Model.from_mujoco(mj_model)
    state, ctrl = situations(mj_model, 60, 0)
    spoil_workspaces(m)
    found, reported, pushed = sim.cfrc_ext(m, state, ctrl), sim.forward(m, state, ctrl).cfrc_ext, 0
    np.testing.assert_array_equal(found, reported)
    for i in range(len(ctrl)):
        expected = mujoco_force(mj_model, entry(state, i), ctrl[i]).cfrc_ext
        # the solvers' tolerance, as for the constraint force in test_sim_contact
        np.testing.assert_allclose(found[i], expected, rtol=0, atol=1e-6 * max(1.0, np.abs(expected).max()))
        pushed += bool(np.any(expected))
    assert pushed >= 10


def rows(mj_model: mujoco.MjModel, state: sim.State, ctrl: Floats) -> tuple[tuple[int, ...], ...]:
    """Kind, number and activity of every constraint row, as MuJoCo's solver leaves them."""
    d = mujoco_force(mj_model, state, ctrl)
    return tuple(map(tuple, (d.efc_type, d.efc_id, d.efc_state)))


def situation(found: tuple[tuple[int, ...], ...]) -> set[str]:
    """What the rows show: sticking, sliding, limit."""
    contacts: dict[int, set[int]] = {}
    seen = set()
    for kind, index, activity in zip(*found, strict=True):
        if kind in CONTACT:
            contacts.setdefault(index, set()).add(activity)
        elif kind == LIMIT and activity == QUADRATIC:
            seen.add("limit")
    for activities in contacts.values():
        if activities == {QUADRATIC}:
            seen.add("sticking")
        elif activities != {SATISFIED}:  # on the elliptic cone, or on some edges of the pyramid
            seen.add("sliding")
    return seen


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize(
    ("name", "condim", "count"),
    [("ant", 3, 40), ("humanoid", 3, 30), ("mixed", 1, 12), ("mixed", 4, 12), ("mixed", 6, 12)],
)
def test_vjp_equals_differences(name: str, condim: int, count: int, cone: str) -> None:
    """By every coordinate of state and control, where no row switches between the two ends."""
    mj_model = compiled(name, cone, condim)
    m, rng, h = sim.Model.from_mujoco(mj_model), np.random.default_rng(1), 1e-6
    states, ctrls = situations(mj_model, count, 5)
    cotangents = rng.normal(size=(count, m.nbody, 6))
    spoil_workspaces(m, (1, False))
    found, seen, checked = sim.cfrc_ext_vjp(m, states, ctrls, cotangents), set(), 0
    assert found.params is None
    nx = 2 * m.nv + m.na
    directions = np.eye(nx + m.nu)
    for i in range(count):
        state, ctrl = entry(states, i), ctrls[i]
        exact = np.concatenate([found.state[i], found.ctrl[i]])
        centre = rows(mj_model, state, ctrl)
        ends = [[(moved(m, state, s * h * x[:nx]), ctrl + s * h * x[nx:]) for x in directions] for s in (1, -1)]
        smooth = np.array([all(rows(mj_model, *end) == centre for end in pair) for pair in zip(*ends, strict=True)])
        batches = [(sim.State(*map(np.stack, zip(*(e[0] for e in end), strict=True))), [e[1] for e in end]) for end in ends]
        values = [np.sum(sim.cfrc_ext(m, *batch) * cotangents[i], axis=(1, 2)) for batch in batches]
        numeric = (values[0] - values[1]) / (2 * h)
        scale = np.abs(exact).max()
        np.testing.assert_allclose(exact[smooth], numeric[smooth], rtol=0, atol=1e-5 * max(1.0, scale))
        if np.mean(smooth) > 0.5 and scale > 1e-3:
            seen |= situation(centre)
            checked += 1
    assert checked >= 5
    assert seen >= ({"sticking", "sliding"} if condim > 1 else {"sticking"}), seen
