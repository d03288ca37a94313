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
from random_models import SMOOTH_MECHANISM, SPECIAL_MODELS, random_tree

from gradgym import sim

GYMNASIUM = sorted(GYMNASIUM_ASSETS.glob("*.xml"))
HANDS = [HAND_ASSETS / name for name in ("manipulate_block.xml", "manipulate_pen.xml", "reach.xml")]
repeatable = settings(deadline=None, derandomize=True, max_examples=60)
thorough = settings(deadline=None, derandomize=True, max_examples=2000)
trees = {"seed": st.integers(0, 10**6), "nbody": st.integers(1, 12), "integrator": st.sampled_from(INTEGRATORS)}


def test_gymnasium_still_ships_the_models() -> None:
    assert {"ant", "humanoid", "half_cheetah", "hopper", "walker2d", "pusher"} <= {path.stem for path in GYMNASIUM}


@pytest.mark.parametrize("path", [*GYMNASIUM, *HANDS], ids=lambda path: path.stem)
def test_known_models_agree(path: Path) -> None:
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
def test_random_trees_agree(seed: int, nbody: int, integrator: str) -> None:
    assert_random_tree_agrees(seed, nbody, integrator, 0.01)


@pytest.mark.slow
@thorough
@given(**trees)
def test_many_random_trees_agree(seed: int, nbody: int, integrator: str) -> None:
    assert_random_tree_agrees(seed, nbody, integrator, 0.01)


@repeatable
@given(seed=st.integers(0, 10**6), nbody=st.integers(1, 12))
def test_runge_kutta_agrees_where_rotations_do_not_commute(seed: int, nbody: int) -> None:
    # In a step of 0.1 s bodies turn by about 0.1 rad: without the correction of the stages' velocities for
    # curvature (Munthe-Kaas) orientations would be off by 0.1^3 or so.
    model = sim.Model.from_xml_string(random_tree(seed, nbody, "RK4", 0.1))
    state, ctrl = random_state(model, seed)
    theirs = mujoco_data(model, state, ctrl)
    mujoco.mj_step(model.mj_model, theirs)
    # Stiff models explode at this time step; a rotation by more than half a turn has no unique shift.
    assume(np.abs(theirs.qvel).max(initial=0.0) * 0.1 < 2.0)
    assert_same_step(model, state, ctrl)


FLAGS = ["gravity", "spring", "damper", "clampctrl", "actuation", "eulerdamp", "spring damper", "gravity damper"]


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("flags", FLAGS)
def test_option_flags_mean_the_same(flags: str, integrator: str) -> None:
    disable = " ".join(f'{flag}="disable"' for flag in flags.split())
    for seed in range(4):
        text = random_tree(seed, 8, integrator).replace(
            '<flag constraint="disable"', f'<flag constraint="disable" {disable}'
        )
        model = sim.Model.from_xml_string(text)
        state, ctrl = random_state(model, seed)
        assert_same_stages(model, state, 2.0 * ctrl)
        assert_same_step(model, state, 2.0 * ctrl)


def test_disabled_groups_of_actuators_are_left_out() -> None:
    text = SMOOTH_MECHANISM.replace('<motor joint="free"', '<motor group="3" joint="free"')
    text = text.replace('dyntype="filter"', 'group="5" dyntype="filter"')
    model = load(text.replace('<option timestep="0.02"', '<option timestep="0.02" actuatorgroupdisable="3 5"'))
    assert list(model.actuator_enabled) == [0, 1, 1, 1, 1, 0, 1]
    state, ctrl = random_state(model, 0)
    assert_same_stages(model, state, ctrl)
    assert_same_step(model, state, ctrl)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("name", SPECIAL_MODELS)
def test_special_models_agree(name: str, integrator: str) -> None:
    model = load(SPECIAL_MODELS[name], integrator)
    for seed in range(4):
        state, ctrl = random_state(model, seed, speed=2.0)
        assert_same_stages(model, state, ctrl)
        assert_same_step(model, state, ctrl)


SERVOS = {
    "position": '<position kp="2" kv="0.3" {}/>',
    "filtered": '<position kp="2" timeconst="0.1" {}/>',
    "integrated": '<intvelocity kp="2" {}/>',
}


@pytest.mark.parametrize("target", [0.4, 3.0, 3.6, 7.0, -9.0])
@pytest.mark.parametrize("servo", SERVOS)
def test_servos_of_ball_joints_take_the_shorter_way_round(servo: str, target: float) -> None:
    # The length of such a transmission is defined on a circle, and so is the setpoint (MuJoCo 4).
    actuator = SERVOS[servo].format('joint="j" gear="0.3 -0.2 0.8"')
    text = f"""<mujoco><worldbody><body><joint name="j" type="ball"/><geom size="0.1" pos="0.2 0 0"/></body></worldbody>
      <actuator>{actuator}</actuator></mujoco>"""
    for integrator in INTEGRATORS:
        model = load(text, integrator)
        state, _ = random_state(model, 0)
        state = state._replace(act=np.full(model.na, target))
        assert_same_stages(model, state, np.full(model.nu, target))
        assert_same_step(model, state, np.full(model.nu, target))


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_many_steps_stay_together(integrator: str) -> None:
    # 100 steps of a smooth system: errors of 1e-16 a step, amplified by its own dynamics.
    model = load(SMOOTH_MECHANISM, integrator)
    state, ctrl = random_state(model, 1)
    theirs = mujoco_data(model, state, ctrl)
    mujoco.mj_step(model.mj_model, theirs, 100)
    ours = sim.step(model, state, ctrl, 100)
    for name in sim.State._fields:
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9, atol=1e-9)


SPINNING = """<mujoco><option timestep="0.01" integrator="RK4"/><worldbody>
  <body><freejoint/><inertial pos="0 0 0" mass="1" diaginertia="0.1 0.12 0.15"/></body></worldbody></mujoco>"""


@pytest.mark.parametrize("turn", [3.1, 3.2, 4.0, 6.2, 6.4, 7.0])
def test_bodies_may_turn_more_than_half_way_in_a_runge_kutta_step(turn: float) -> None:
    model = load(SPINNING)
    spin = np.array([0.0, 0.0, 0.0, turn, 0.1 * turn, 0.05 * turn]) / 0.01
    assert_same_step(model, model.initial_state()._replace(qvel=spin), np.zeros(0))
