"""Forward dynamics and steps against MuJoCo: Gymnasium's models, the Shadow hand, random trees."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from parity import (
    GYMNASIUM_ASSETS,
    HAND_ASSETS,
    INTEGRATORS,
    assert_same_stages,
    assert_same_step,
    load,
    mujoco_data,
    random_state,
)
from random_models import random_tree

from gradgym import sim

GYMNASIUM = sorted(path for path in GYMNASIUM_ASSETS.glob("*.xml") if path.stem != "swimmer")
HANDS = [HAND_ASSETS / name for name in ("manipulate_block.xml", "manipulate_pen.xml", "reach.xml")]
repeatable = settings(deadline=None, derandomize=True, max_examples=60)
thorough = settings(deadline=None, derandomize=True, max_examples=2000)
trees = {"seed": st.integers(0, 10**6), "nbody": st.integers(1, 12), "integrator": st.sampled_from(INTEGRATORS)}


def test_gymnasium_still_ships_the_models():
    assert {"ant", "humanoid", "half_cheetah", "hopper", "walker2d", "pusher"} <= {path.stem for path in GYMNASIUM}


def test_swimmer_is_refused_for_its_fluid():
    with pytest.raises(sim.UnsupportedModelError, match="density"):
        load(GYMNASIUM_ASSETS / "swimmer.xml")


@pytest.mark.parametrize("path", [*GYMNASIUM, *HANDS], ids=lambda path: path.stem)
def test_known_models_agree(path: Path):
    for integrator in INTEGRATORS:
        model = load(path, integrator)
        for seed in range(3):
            state, ctrl = random_state(model, seed, speed=2.0)
            assert_same_stages(model, state, ctrl)
            assert_same_step(model, state, ctrl)


def assert_random_tree_agrees(seed: int, nbody: int, integrator: str, timestep: float) -> None:
    model = sim.Model.from_xml_string(random_tree(seed, nbody, integrator, timestep))
    state, ctrl = random_state(model, seed)
    assert_same_stages(model, state, ctrl)
    assert_same_step(model, state, ctrl)


@repeatable
@given(**trees)
def test_random_trees_agree(seed: int, nbody: int, integrator: str):
    assert_random_tree_agrees(seed, nbody, integrator, 0.01)


@pytest.mark.slow
@thorough
@given(**trees)
def test_many_random_trees_agree(seed: int, nbody: int, integrator: str):
    assert_random_tree_agrees(seed, nbody, integrator, 0.01)


@repeatable
@given(seed=st.integers(0, 10**6), nbody=st.integers(1, 12))
def test_runge_kutta_agrees_where_rotations_do_not_commute(seed: int, nbody: int):
    # In a step of 0.1 s bodies turn by about 0.1 rad: without the correction of the stages' velocities for
    # curvature (Munthe-Kaas) orientations would be off by 0.1^3 or so.
    model = sim.Model.from_xml_string(random_tree(seed, nbody, "RK4", 0.1))
    state, ctrl = random_state(model, seed)
    theirs = mujoco_data(model, state, ctrl)
    mujoco.mj_step(model.mj_model, theirs)
    # Stiff models explode at this time step; a rotation by more than half a turn has no unique shift.
    assume(np.abs(theirs.qvel).max(initial=0.0) * 0.1 < 2.0)
    assert_same_step(model, state, ctrl)
