"""The short way of calls for one world: the bits of batches, nothing left over, and errors as everywhere."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from parity import load, random_state
from random_models import SMOOTH_MECHANISM

from gradgym import sim
from gradgym.sim.single_world import enter_world

# A ball on a floor beside a target that others move: contact, and a mocap body.
TOUCHING = """<mujoco><worldbody><geom type="plane" size="1 1 1"/>
<body mocap="true" pos="0 0.3 0.1"><geom type="sphere" size="0.1"/></body>
<body pos="0 0.13 0.11"><freejoint/><geom type="sphere" size="0.12"/>
  <body pos="0 0 0.2"><joint name="j" axis="1 0 0"/>
    <geom type="capsule" size="0.02" fromto="0 0 0 0 0 0.2"/></body></body>
</worldbody><actuator><motor joint="j"/></actuator></mujoco>"""
FUNCTIONS: dict[str, Callable[..., list[Any]]] = {
    "step": lambda m, s, u, _: [*sim.step(m, s, u, 2)],
    "step_jacobian": lambda m, s, u, _: [*sim.step_jacobian(m, s, u, 2)],
    "linearize": lambda m, s, u, _: [*(found := sim.linearize(m, s, u, 2)).state, found.A, found.B, found.unconverged],
    "by control": lambda m, s, u, _: [sim.linearize(m, s, u, 2, by_state=False).B],
    "step_vjp": lambda m, s, u, v: [x for x in sim.step_vjp(m, s, u, v, 2) if x is not None],
    "cfrc_ext": lambda m, s, u, _: [sim.cfrc_ext(m, s, u)],
}


def arguments(model: sim.Model, seed: int) -> tuple[sim.Model, sim.State, np.ndarray, np.ndarray]:
    state, ctrl = random_state(model, seed)
    rng = np.random.default_rng(seed)
    if model.nmocap > 0:
        qpos, pos = model.qpos0 + 0.02 * rng.normal(size=model.nq), model.mocap_poses[0] + 0.02 * rng.normal(size=3)
        state = sim.State(qpos, state.qvel, state.act, pos, rng.normal(size=(1, 4)))
    return model, state, ctrl, rng.normal(size=2 * model.nv + model.na)


def in_batch(model: sim.Model, state: sim.State, ctrl: Any, cotangent: Any) -> tuple[Any, ...]:
    return model, sim.State(*(None if x is None else x[None] for x in state)), ctrl[None], cotangent[None]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "model", [load(SMOOTH_MECHANISM), sim.Model.from_xml_string(TOUCHING)], ids=["smooth", "touching"]
)
def test_a_single_world_has_the_bits_of_a_batch(model: sim.Model, name: str) -> None:
    for seed in range(3):
        given = arguments(model, seed)
        assert enter_world(*given[:3]) is not None
        assert model.nmocap == 0 or sim.cfrc_ext(*given[:3]).any()
        for one, many in zip(FUNCTIONS[name](*given), FUNCTIONS[name](*in_batch(*given)), strict=True):
            np.testing.assert_array_equal(one, many[0])


def test_what_needs_a_check_or_a_conversion_goes_the_long_way() -> None:
    model, state, ctrl, cotangent = arguments(load(SMOOTH_MECHANISM), 0)
    expected = sim.step(model, state, ctrl).qpos
    for other in (
        state._replace(qpos=state.qpos.tolist()),
        sim.State(*(x.astype(np.longdouble) for x in state[:3])),
    ):
        assert enter_world(model, other, ctrl) is None
        np.testing.assert_array_equal(sim.step(model, other, ctrl).qpos, expected)
    assert enter_world(model, state, ctrl, cotangent[1:]) is None
    with pytest.raises(ValueError, match=r"state.qvel is not finite at index \[2\]"):
        sim.step(model, state._replace(qvel=np.where(np.arange(model.nv) == 2, np.nan, 0.0)), ctrl)
    with pytest.raises(ValueError, match="cotangent has shape"):
        sim.step_vjp(model, state, ctrl, cotangent[1:])


def test_results_are_the_callers_own() -> None:
    model, state, ctrl, cotangent = arguments(sim.Model.from_xml_string(TOUCHING), 0)
    for name, function in FUNCTIONS.items():
        first = function(model, state, ctrl, cotangent)
        before = [np.copy(x) for x in first]
        for x in function(model, *arguments(model, 1)[1:]):
            if np.ndim(x) > 0:
                np.asarray(x)[...] = np.nan
        for x, kept in zip(first, before, strict=True):
            np.testing.assert_array_equal(x, kept, err_msg=name)
        for x, kept in zip(function(model, state, ctrl, cotangent), before, strict=True):
            np.testing.assert_array_equal(x, kept, err_msg=name)


def test_a_world_that_diverged_does_not_spoil_the_next_call() -> None:
    model = load(
        """<mujoco><worldbody><body><joint name="s" type="slide"/><geom size="1"/></body></worldbody>
        <actuator><motor joint="s"/></actuator></mujoco>"""
    )
    state, ctrl = model.initial_state(), np.ones(1)
    expected = sim.step(model, state, ctrl)
    assert enter_world(model, state, ctrl) is not None
    with np.errstate(all="ignore"):
        assert not np.isfinite(sim.step(model, state._replace(qvel=np.full(1, 1.7e308)), ctrl, 600).qpos).all()
    for _ in range(2):
        np.testing.assert_array_equal(sim.step(model, state, ctrl).qvel, expected.qvel)
