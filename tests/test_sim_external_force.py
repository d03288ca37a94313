"""Forces of the contacts on the bodies: MuJoCo's values, and derivatives by central differences."""

import mujoco
import numpy as np
import pytest
import torch
from contact_scenes import CONES, MIXED, tight, visited_states
from derivatives import moved
from numpy.typing import NDArray
from parity import GYMNASIUM_ASSETS, load, random_state, spoil_workspaces
from random_models import SMOOTH_MECHANISM

from gradgym import sim
from gradgym.sim import mujoco_differences, mujoco_twin, torch_bridge

Floats = NDArray[np.float64]
CONTACT = {
    int(getattr(mujoco.mjtConstraint, f"mjCNSTR_CONTACT_{x}")) for x in ("FRICTIONLESS", "PYRAMIDAL", "ELLIPTIC")
}
LIMIT = int(mujoco.mjtConstraint.mjCNSTR_LIMIT_JOINT)
SATISFIED = int(mujoco.mjtConstraintState.mjCNSTRSTATE_SATISFIED)
QUADRATIC = int(mujoco.mjtConstraintState.mjCNSTRSTATE_QUADRATIC)
# on a ground that belongs to a body without mass, beside a ball that does not move either
PEDESTAL = MIXED.replace(
    '<geom type="plane" size="5 5 .1" quat="0.99 0.05 0.1 0"/>',
    """<body pos="0.3 0.1 0"><geom type="plane" size="5 5 .1"/></body>
    <body pos="0.1 0 0.1"><geom type="sphere" size="0.1" mass="1"/></body>""",
)


def compiled(name: str, cone: str, condim: int = 4) -> mujoco.MjModel:
    """One of Gymnasium's models, or a pile, at tight solver tolerance."""
    piles = {"mixed": MIXED, "pedestal": PEDESTAL}
    if name in piles:
        return tight(mujoco.MjSpec.from_string(piles[name].format(condim=condim)), CONES[cone])
    return tight(mujoco.MjSpec.from_file(str(GYMNASIUM_ASSETS / f"{name}.xml")), CONES[cone])


def situations(mj_model: mujoco.MjModel, count: int, seed: int) -> tuple[sim.State, Floats]:
    """A batch of states and controls: visited under random control, and a quarter that came to rest."""
    found = []
    for d in visited_states(mj_model, count, seed):
        found.append([x.copy() for x in (d.qpos, d.qvel, d.act, d.ctrl)])
    d, rng = mujoco.MjData(mj_model), np.random.default_rng(seed)
    for _ in range(count // 4):
        d.ctrl[:] = rng.normal(scale=0.1, size=mj_model.nu)
        mujoco.mj_step(mj_model, d, nstep=300)
        found.append([x.copy() for x in (d.qpos, d.qvel, d.act, d.ctrl)])
    qpos, qvel, act, ctrl = (np.stack(column) for column in zip(*found, strict=True))
    return sim.State(qpos, qvel, act), ctrl


def entry(state: sim.State, i: int) -> sim.State:
    return sim.State(*(x[i] for x in state[:3]))


def evaluated(mj_model: mujoco.MjModel, state: sim.State, ctrl: Floats) -> mujoco.MjData:
    d = mujoco.MjData(mj_model)
    d.qpos[:], d.qvel[:], d.act[:], d.ctrl[:] = *state[:3], ctrl
    mujoco.mj_forward(mj_model, d)
    mujoco.mj_rnePostConstraint(mj_model, d)
    return d


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize(
    ("name", "condim"),
    [("ant", 3), ("humanoid", 3), ("mixed", 1), ("mixed", 3), ("mixed", 4), ("mixed", 6), ("pedestal", 4)],
)
def test_force_equals_mujoco(name: str, condim: int, cone: str) -> None:
    mj_model = compiled(name, cone, condim)
    m = sim.Model.from_mujoco(mj_model)
    states, ctrls = situations(mj_model, 60, 0)
    spoil_workspaces(m)
    found, pushed = sim.cfrc_ext(m, states, ctrls), 0
    np.testing.assert_array_equal(found, sim.forward(m, states, ctrls).cfrc_ext)
    for i in range(len(ctrls)):
        expected = evaluated(mj_model, entry(states, i), ctrls[i]).cfrc_ext
        # the solvers' tolerance, as for the constraint force in test_sim_contact
        np.testing.assert_allclose(found[i], expected, rtol=0, atol=1e-6 * max(1.0, np.abs(expected).max()))
        pushed += bool(np.any(expected))
    assert pushed >= 20


def rows(mj_model: mujoco.MjModel, state: sim.State, ctrl: Floats) -> tuple[tuple[int, ...], ...]:
    """Kind, number and activity of every constraint row, as MuJoCo's solver leaves them."""
    d = evaluated(mj_model, state, ctrl)
    return tuple(map(tuple, (d.efc_type, d.efc_id, d.efc_state)))


def what_happens(found: tuple[tuple[int, ...], ...]) -> set[str]:
    """Which of sticking, sliding and limit the rows show."""
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


def difference_quotients(
    m: sim.Model, state: sim.State, ctrl: Floats, cotangent: Floats, h: float = 1e-7
) -> tuple[Floats, NDArray[np.bool_]]:
    """By every coordinate of state and control; and where no row switches between the ends.

    solimp bends within a millimetre and its third derivative jumps where its halves meet: hence a small `h`.
    """
    nx, values, switched = 2 * m.nv + m.na, [], np.zeros(2 * m.nv + m.na + m.nu, bool)
    centre = rows(m.mj_model, state, ctrl)
    for sign in (1.0, -1.0):
        steps = sign * h * np.eye(nx + m.nu)
        states = [moved(m, state, x[:nx]) for x in steps]
        ctrls = ctrl + steps[:, nx:]
        switched |= [rows(m.mj_model, s, u) != centre for s, u in zip(states, ctrls, strict=True)]
        force = sim.cfrc_ext(m, sim.State(*map(np.stack, zip(*(s[:3] for s in states), strict=True))), ctrls)
        values.append(np.sum(force * cotangent, axis=(1, 2)))
    return (values[0] - values[1]) / (2 * h), ~switched


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize(
    ("name", "condim", "count", "hard"),
    [
        ("ant", 3, 40, {"sticking", "sliding", "limit"}),
        ("humanoid", 3, 24, {"sticking", "sliding", "limit"}),
        ("mixed", 1, 12, {"sticking", "limit"}),  # without friction a contact that pushes counts as sticking
        ("mixed", 4, 12, {"sticking", "sliding", "limit"}),
        ("mixed", 6, 12, {"sticking", "sliding", "limit"}),
        ("pedestal", 3, 12, {"sticking", "sliding", "limit"}),
    ],
)
def test_vjp_equals_differences(name: str, condim: int, count: int, hard: set[str], cone: str) -> None:
    mj_model = compiled(name, cone, condim)
    m, seen, checked = sim.Model.from_mujoco(mj_model), set(), 0
    states, ctrls = situations(mj_model, count, 5)
    cotangents = np.random.default_rng(1).normal(size=(len(ctrls), m.nbody, 6))
    spoil_workspaces(m, (1, False))
    gradient = sim.cfrc_ext_vjp(m, states, ctrls, cotangents)
    assert gradient.params is None
    for i in range(len(ctrls)):
        exact = np.concatenate([gradient.state[i], gradient.ctrl[i]])
        numeric, smooth = difference_quotients(m, entry(states, i), ctrls[i], cotangents[i])
        bound = 1e-5 * max(1.0, np.abs(numeric[smooth]).max(initial=0.0))
        np.testing.assert_allclose(exact[smooth], numeric[smooth], rtol=0, atol=bound)
        if np.mean(smooth) > 0.5 and np.abs(exact).max() > 1.0:
            seen |= what_happens(rows(mj_model, entry(states, i), ctrls[i]))
            checked += 1
    assert checked >= 5
    assert seen >= hard


def test_vjp_is_linear_in_the_cotangent_and_world_by_world() -> None:
    mj_model = compiled("mixed", "elliptic")
    m, rng = sim.Model.from_mujoco(mj_model), np.random.default_rng(2)
    states, ctrls = situations(mj_model, 8, 3)
    one, two = rng.normal(size=(2, len(ctrls), m.nbody, 6))
    both = sim.cfrc_ext_vjp(m, states, ctrls, 2.0 * one - 3.0 * two).state
    expected = 2.0 * sim.cfrc_ext_vjp(m, states, ctrls, one).state - 3.0 * sim.cfrc_ext_vjp(m, states, ctrls, two).state
    np.testing.assert_allclose(both, expected, rtol=0, atol=1e-11 * np.abs(expected).max())
    shaped = [x.reshape(2, len(x) // 2, *x.shape[1:]) for x in (*states[:3], ctrls, one)]
    batch = sim.cfrc_ext_vjp(m, sim.State(*shaped[:3]), *shaped[3:])
    force = sim.cfrc_ext(m, sim.State(*shaped[:3]), shaped[3])
    for i in np.ndindex(*force.shape[:2]):
        state, ctrl, weights = sim.State(*(x[i] for x in shaped[:3])), shaped[3][i], shaped[4][i]
        np.testing.assert_array_equal(force[i], sim.cfrc_ext(m, state, ctrl))
        np.testing.assert_array_equal(batch.state[i], sim.cfrc_ext_vjp(m, state, ctrl, weights).state)


@pytest.mark.parametrize("cone", CONES)
def test_twin_agrees(cone: str) -> None:
    mj_model = compiled("ant", cone)
    m = sim.Model.from_mujoco(mj_model)
    states, ctrls = situations(mj_model, 24, 7)
    cotangents = np.random.default_rng(3).normal(size=(len(ctrls), m.nbody, 6))
    theirs, ours = mujoco_twin.cfrc_ext(m, states, ctrls), sim.cfrc_ext(m, states, ctrls)
    np.testing.assert_array_equal(theirs, mujoco_twin.forward(m, states, ctrls).cfrc_ext)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())
    expected = mujoco_twin.cfrc_ext_vjp(m, states, ctrls, cotangents)
    found = sim.cfrc_ext_vjp(m, states, ctrls, cotangents)
    for i in range(len(ctrls)):
        state, ctrl, weights = entry(states, i), ctrls[i], cotangents[i]
        _, smooth = difference_quotients(m, state, ctrl, weights, mujoco_differences.DIFFERENCE_STEP)
        # a control limit has its difference from the inside, ours from the side that the clamp leaves free
        inside = np.append(np.ones(2 * m.nv + m.na, bool), np.abs(ctrls[i]) < 1.0)
        ends = [np.concatenate([x.state[i], x.ctrl[i]])[smooth & inside] for x in (found, expected)]
        np.testing.assert_allclose(ends[0], ends[1], rtol=0, atol=1e-5 * max(1.0, np.abs(ends[1]).max(initial=0.0)))


@pytest.mark.parametrize("threads", [1, 3])
def test_a_step_with_forces_is_the_step_and_then_the_forces(threads: int) -> None:
    ant = sim.Model.from_mujoco(compiled("ant", "pyramidal"))
    states, ctrls = situations(ant.mj_model, 24, 0)
    models = [ant, ant.replace(gravity=(0, 0, -20.0))] * (len(ctrls) // 2)
    before = sim.get_num_threads()
    sim.set_num_threads(threads)
    try:
        for given in (ant, models):
            spoil_workspaces(ant)
            after, unconverged, forces = sim.step_with_cfrc_ext(given, states, ctrls, 5)
            expected, count = sim.counted_step(given, states, ctrls, 5)
            for mine, theirs in zip(after, expected, strict=True):
                np.testing.assert_array_equal(mine, theirs)
            np.testing.assert_array_equal(unconverged, count)
            np.testing.assert_array_equal(forces, sim.cfrc_ext(given, expected, ctrls))
            assert forces.any(axis=(1, 2)).sum() > 5
        one = sim.step_with_cfrc_ext(ant, entry(states, 20), ctrls[20], 5)
        np.testing.assert_array_equal(one[2], sim.step_with_cfrc_ext(ant, states, ctrls, 5)[2][20])
    finally:
        sim.set_num_threads(before)


@pytest.mark.parametrize("source", ["no constraints", "limits only"])
def test_without_contacts_there_is_no_force(source: str) -> None:
    limits = '<mujoco><worldbody><body><joint limited="true" range="-1 1"/>\
<geom size="1" pos="1 0 0"/></body></worldbody></mujoco>'  # fmt: skip
    m = load(SMOOTH_MECHANISM) if source == "no constraints" else sim.Model.from_xml_string(limits)
    state, ctrl = random_state(m, 0)
    if source == "limits only":
        state.qpos[:] = 1.1
    spoil_workspaces(m)
    assert not sim.cfrc_ext(m, state, ctrl).any()
    assert not sim.forward(m, state, ctrl).cfrc_ext.any()
    assert not sim.step_with_cfrc_ext(m, state, ctrl)[2].any()
    gradient = sim.cfrc_ext_vjp(m, state, ctrl, np.ones((m.nbody, 6)))
    assert not gradient.state.any() and not gradient.ctrl.any()
    assert gradient.state.shape == (2 * m.nv + m.na,) and gradient.ctrl.shape == (m.nu,)


def test_wrong_cotangent_is_named() -> None:
    m = sim.Model.from_mujoco(compiled("mixed", "elliptic"))
    for backend in (sim, mujoco_twin):
        with pytest.raises(ValueError, match=rf"cotangent has shape \(6,\), expected \({m.nbody}, 6\)"):
            backend.cfrc_ext_vjp(m, m.initial_state(), [], np.zeros(6))


def test_torch_gradients() -> None:
    mj_model = compiled("ant", "elliptic")
    m, (states, ctrls) = sim.Model.from_mujoco(mj_model), situations(mj_model, 8, 1)
    states, ctrls = sim.State(*(x[-2:] for x in states[:3])), ctrls[-2:]  # at rest
    qpos, qvel, ctrl = tensors = [torch.tensor(x, requires_grad=True) for x in (states.qpos, states.qvel, ctrls)]

    def force(qpos: torch.Tensor, qvel: torch.Tensor, ctrl: torch.Tensor) -> torch.Tensor:
        return torch_bridge.cfrc_ext(m, qpos, qvel, qvel.new_empty((*qvel.shape[:-1], 0)), ctrl)

    found, value = force(*tensors), sim.cfrc_ext(m, states, ctrls)
    np.testing.assert_array_equal(found.detach().numpy(), value)
    scale = np.abs(value).max()
    assert scale > 1.0
    assert torch.autograd.gradcheck(lambda *x: force(*x) / scale, tensors, eps=1e-7, rtol=1e-5, atol=1e-4)

    mapped = torch.func.vmap(force)(*(t.detach() for t in tensors))
    torch.testing.assert_close(mapped, found.detach(), rtol=0, atol=0)
    by_qvel = torch.func.jacrev(lambda v: force(qpos[0].detach(), v, ctrl[0].detach()))(qvel[0].detach())
    weights = np.random.default_rng(0).normal(size=(m.nbody, 6))
    expected = sim.cfrc_ext_vjp(m, entry(states, 0), ctrls[0], weights).state[m.nv : 2 * m.nv]
    np.testing.assert_allclose(np.tensordot(weights, by_qvel.numpy(), 2), expected, rtol=0, atol=1e-9 * scale)
    gradient = torch.autograd.grad(found.square().sum(), qvel, create_graph=True)[0]
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        gradient.sum().backward()
