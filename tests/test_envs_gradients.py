"""The gradient contract against central differences of whole environment steps."""

from dataclasses import dataclass
from typing import Any, Never

import gymnasium
import mujoco
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from torch import Tensor
from transitions import IN_CONTACT, gradients_of, moved, outputs, random_transitions

from gradgym.envs.advance import advance
from gradgym.envs.task import Task
from gradgym.envs.task_state import TaskState
from gradgym.envs.tasks.ant import Ant
from gradgym.envs.tasks.ball_throw import BallThrow
from gradgym.envs.tasks.golf import Golf
from gradgym.envs.tasks.half_cheetah import HalfCheetah
from gradgym.envs.tasks.hopper import Hopper
from gradgym.envs.tasks.pendulum import NLinkPendulum
from gradgym.envs.tasks.racecar import Racecar
from gradgym.envs.tasks.walker2d import Walker2d
from gradgym.sim import Model, State

PENDULUM = "gradgym/NLinkPendulum-v0"
ACTION_KEYS = {"dobs_daction", "dreward_daction"}
FULL_KEYS = ACTION_KEYS | {"dobs_dstate", "dreward_dstate", "dstate_dstate", "dstate_daction"}
# MuJoCo's Jacobians are themselves differences, good to about 1e-8 of their greatest entry.
TOLERANCE = {"sim": 1e-6, "mujoco": 1e-5}

TUMBLER = """
<mujoco>
  <option timestep="0.01" gravity="0 0 -9.8"/>
  <default><geom contype="0" conaffinity="0"/></default>
  <worldbody>
    <body>
      <freejoint/>
      <geom type="box" size="0.2 0.1 0.05"/>
      <body pos="0.2 0 0">
        <joint name="ball" type="ball"/>
        <geom type="capsule" fromto="0 0 0 0.3 0 0.1" size="0.03"/>
        <body pos="0.3 0 0">
          <joint name="hinge" axis="0 1 0" damping="0.1"/>
          <geom type="capsule" fromto="0 0 0 0.2 0 0" size="0.02"/>
          <site name="tip" pos="0.2 0 0"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="hinge" gear="2"/>
    <general joint="hinge" dyntype="filter" dynprm="0.05" gainprm="3"/>
  </actuator>
</mujoco>"""


def make(**options: Any) -> Any:
    return gymnasium.make(PENDULUM, **options)


def make_vec(**options: Any) -> Any:
    return gymnasium.make_vec(PENDULUM, **options)


@dataclass(frozen=True)
class TumblerConstants:
    cost: float = 0.3


class Tumbler(Task):
    """A task with quaternions, activations, substeps, a scaled action, and a reward of everything."""

    n_substeps = 3

    def __init__(self, backend: str = "sim") -> None:
        super().__init__(Model.from_xml_string(TUMBLER), TumblerConstants(), backend)
        n_obs = self.model.nq + self.model.nv + self.model.na + 3
        self.observation_space = spaces.Box(-np.inf, np.inf, (n_obs,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (3,), np.float32)

    def control(self, action: Tensor) -> Tensor:
        # Two controls from three actions, not component by component.
        a = super().control(action)
        return torch.stack([a[..., 0] * a[..., 1], 2.0 * a[..., 2]], dim=-1)

    def observation(self, state: TaskState, rng: Any = None, params: None = None) -> Tensor:
        return torch.cat([state.qpos, state.qvel.sin(), state.act, state.kinematics.site_xpos[..., 0, :]], dim=-1)

    def reward_terms(self, state: TaskState, action: Tensor, next_state: TaskState) -> dict[str, Tensor]:
        tips = [s.kinematics.site_xpos[..., 0, :] for s in (state, next_state)]
        turned = (state.qpos[..., 3:7] * next_state.qpos[..., 3:7]).sum(-1)
        return {
            "tip": ((tips[1] - tips[0]) * tips[0]).sum(-1),
            "turned": turned * state.act[..., 0] * next_state.qvel[..., 0],
            "cost": -self.constants.cost * action.square().sum(-1) * state.qvel[..., 1],
        }


TASKS = {
    "pendulum-1": lambda backend: NLinkPendulum(1, backend),
    "pendulum-5": lambda backend: NLinkPendulum(5, backend),
    "tumbler": Tumbler,
    "ant": Ant,
    # Every force is inside the range here, so that all of the contact cost has a derivative.
    "ant-forces": lambda backend: Ant(backend, contact_force_range=(-1e4, 1e4), main_body="aux_1"),
    "half-cheetah": HalfCheetah,
    "hopper": Hopper,
    "walker": Walker2d,
    "ball-throw": BallThrow,
    "golf": Golf,
    "racecar": lambda backend: Racecar(backend=backend),
}


def difference(task: Task, low: dict, high: dict, width: float) -> dict[str, np.ndarray]:
    found = {name: (high[name] - low[name]) / width for name in ("dobs", "dreward")}
    a, b = low["dstate"].numpy(), high["dstate"].numpy()
    dqpos = np.empty(a.qvel.shape)
    for row, qa, qb in zip(dqpos, a.qpos, b.qpos, strict=True):
        mujoco.mj_differentiatePos(task.model.mj_model, row, width, qa, qb)
    found["dstate"] = np.concatenate([dqpos, (b.qvel - a.qvel) / width, (b.act - a.act) / width], axis=-1)
    return found


@pytest.mark.parametrize("backend", ["sim", "mujoco"])
@pytest.mark.parametrize("name", TASKS)
def test_full_gradients_are_those_of_differences(name: str, backend: str) -> None:
    task = TASKS[name](backend)
    # Contact is stiff: the error of a difference falls with the square of h down to about 1e-7.
    h = 1e-7 if isinstance(task, IN_CONTACT) else 1e-5
    state, action = random_transitions(task, 4)
    following = task.transition(state, action)
    found = gradients_of(task, state, action, following, "full")
    assert set(found) == FULL_KEYS
    # With poses and contact forces at hand another path is taken.
    assert state.kinematics and following.kinematics
    with torch.no_grad():
        task.reward(state, action, following)
    assert (following.known_forces is not None) == isinstance(task, Ant)
    for key, array in gradients_of(task, state, action, following, "full").items():
        np.testing.assert_allclose(array, found[key], atol=1e-12 * max(1, np.abs(array).max()))

    n_act, nx = action.shape[1], 2 * task.model.nv + task.model.na
    expected = {key: np.empty_like(array) for key, array in found.items()}
    for i in range(n_act):
        nudge = h * torch.eye(n_act, dtype=torch.float64)[i]
        ends = [outputs(task, state, action + s * nudge) for s in (-1, 1)]
        for key, value in difference(task, ends[0], ends[1], 2 * h).items():
            expected[f"{key}_daction"][..., i] = value
    for i in range(nx):
        ends = [outputs(task, moved(task, state, s * h * np.eye(nx)[i]), action) for s in (-1, 1)]
        for key, value in difference(task, ends[0], ends[1], 2 * h).items():
            expected[f"{key}_dstate"][..., i] = value
    for key, array in found.items():
        assert array.dtype == np.float64
        np.testing.assert_allclose(array, expected[key], atol=TOLERANCE[backend] * max(1, np.abs(expected[key]).max()))


def test_a_whole_episode_is_differentiable_by_torch() -> None:
    """Return by open-loop actions: torch through the task, the contract's chain, and differences."""
    task, rng = NLinkPendulum(2), np.random.default_rng(0)
    actions = torch.from_numpy(rng.uniform(-0.5, 0.5, (100, 1, 2)))

    def episode_return(actions: torch.Tensor) -> torch.Tensor:
        state, total = task.initial([rng]), torch.zeros(1, dtype=torch.float64)
        for action in actions:
            following = task.transition(state, action)
            total = total + task.reward(state, action, following)
            state = following
        return total.sum()

    by_torch = torch.autograd.grad(episode_return(leaf := actions.clone().requires_grad_()), leaf)[0].numpy()

    state, steps = task.initial([rng]), []
    for action in actions:
        transition = advance(task, state, action, "full")
        steps.append(transition.gradients or {})
        state = transition.state
    by_chain, cotangent = np.empty_like(by_torch), np.zeros((1, 4))
    for t in reversed(range(100)):
        g = steps[t]
        by_chain[t] = g["dreward_daction"] + np.einsum("ni,nij->nj", cotangent, g["dstate_daction"])
        cotangent = g["dreward_dstate"] + np.einsum("ni,nij->nj", cotangent, g["dstate_dstate"])
    scale = np.abs(by_torch).max()
    np.testing.assert_allclose(by_chain, by_torch, atol=1e-9 * scale)

    direction, h = torch.from_numpy(rng.normal(size=actions.shape)), 1e-6
    ends = [episode_return(actions + s * h * direction).item() for s in (-1, 1)]
    expected = (ends[1] - ends[0]) / (2 * h)
    assert np.sum(by_torch * direction.numpy()) == pytest.approx(expected, rel=1e-5)


def test_poses_known_from_no_grad_are_not_taken_for_constants() -> None:
    task = NLinkPendulum(2)
    state = task.initial([np.random.default_rng(0)])
    state.qpos.requires_grad_()
    with torch.no_grad():
        assert not state.kinematics.site_xpos.requires_grad
    (gradient,) = torch.autograd.grad(task.observation(state).sum(), state.qpos)
    assert gradient.any()


@pytest.mark.parametrize("n_links", [1, 4])
def test_both_backends_give_the_same_gradients(n_links: int) -> None:
    tasks = [NLinkPendulum(n_links, backend) for backend in ("sim", "mujoco")]
    state, action = random_transitions(tasks[0], 3)
    ours, theirs = (gradients_of(t, state, action, t.transition(state, action), "full") for t in tasks)
    for key in FULL_KEYS:
        np.testing.assert_allclose(ours[key], theirs[key], atol=1e-6 * max(1.0, np.abs(theirs[key]).max()))


@pytest.mark.parametrize("backend", ["sim", "mujoco"])
def test_info_holds_the_gradient_by_the_action_given_to_step(backend: str) -> None:
    """Differences of env.step itself, by replaying the episode; float32 observations bound the accuracy."""
    actions = np.random.default_rng(0).uniform(-0.8, 0.8, (100, 2))

    def last_step(change: np.ndarray) -> Any:
        env = make(n_links=2, gradients="action", backend=backend)
        env.reset(seed=0)
        for action in actions[:-1]:
            env.step(action.astype(np.float32))
        return env.step((actions[-1] + change).astype(np.float64))

    _, _, _, truncated, info = last_step(np.zeros(2))
    assert truncated
    h = 0.05
    for i in range(2):
        high, low = last_step(h * np.eye(2)[i]), last_step(-h * np.eye(2)[i])
        by_difference = (high[0].astype(np.float64) - low[0]) / (2 * h)
        np.testing.assert_allclose(info["gradients"]["dobs_daction"][:, i], by_difference, atol=2e-4)
        reward_difference = (float(high[1]) - float(low[1])) / (2 * h)
        assert info["gradients"]["dreward_daction"][i] == pytest.approx(reward_difference, abs=2e-4)


@pytest.mark.parametrize(("gradients", "keys"), [(None, None), ("action", ACTION_KEYS), ("full", FULL_KEYS)])
def test_keys_shapes_and_no_gradients_from_reset(gradients: str, keys: set[str]) -> None:
    env = make(n_links=3, gradients=gradients)
    _, info = env.reset(seed=0)
    assert "gradients" not in info
    info = env.step(np.zeros(3, np.float32))[-1]
    assert set(info.get("gradients", ())) == (keys or set())
    shapes = {"dobs": (16,), "dreward": (), "dstate": (6,), "daction": (3,)}
    for key, array in info.get("gradients", {}).items():
        numerator, denominator = key.split("_")
        assert array.shape == shapes[numerator] + shapes[denominator]


def test_arrays_are_not_shared_between_calls() -> None:
    env = make(n_links=2, gradients="full")
    env.reset(seed=0)
    first = env.step(np.zeros(2, np.float32))[-1]["gradients"]
    kept = {key: array.copy() for key, array in first.items()}
    second = env.step(np.full(2, 0.5, np.float32))[-1]["gradients"]
    for a in first.values():
        assert not any(np.shares_memory(a, b) for b in second.values())
    for key in kept:
        np.testing.assert_array_equal(first[key], kept[key])
        first[key].fill(np.nan)  # writable, and nothing of the environment is behind it
    assert all(np.isfinite(x).all() for x in env.step(np.zeros(2, np.float32))[-1]["gradients"].values())


@pytest.mark.parametrize("backend", ["sim", "mujoco"])
def test_clipping_has_the_inner_derivative_on_the_bound_and_none_beyond(backend: str) -> None:
    task = NLinkPendulum(2, backend)
    state, _ = random_transitions(task, 1)

    def gradient(a: float, key: str = "dobs_daction") -> np.ndarray:
        gradients = advance(task, state, torch.full((1, 2), a, dtype=torch.float64), "action").gradients
        assert gradients is not None
        return gradients[key][0]

    # The dynamics is affine in the torque, so one Euler step's velocities are too.
    inside = gradient(0.5)[:2]
    np.testing.assert_allclose(gradient(1.0)[:2], inside, atol=1e-6)
    np.testing.assert_allclose(gradient(-1.0)[:2], inside, atol=1e-6)
    assert np.abs(inside).max() > 0.1
    np.testing.assert_array_equal(gradient(1.01), 0.0)
    np.testing.assert_array_equal(gradient(1.01, "dreward_daction"), 0.0)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_at_autoreset_gradients_belong_to_the_transition_that_ended(mode: AutoresetMode) -> None:
    envs = make_vec(num_envs=2, n_links=2, gradients="action", autoreset_mode=mode)
    single = make(n_links=2, gradients="action")
    _, info = envs.reset(seed=0)
    assert "gradients" not in info
    single.reset(seed=0)
    rng = np.random.default_rng(1)
    for t in range(103):
        actions = rng.uniform(-1, 1, (2, 2))
        *_, info = envs.step(actions)
        if mode is AutoresetMode.NEXT_STEP and t == 100:
            assert "gradients" not in info
            single.reset()
            continue
        expected = single.step(actions[0])[-1]["gradients"]
        assert info["_gradients"].all()
        for key in ACTION_KEYS:
            np.testing.assert_allclose(info["gradients"][key][0], expected[key], rtol=1e-12, atol=1e-14)
        if mode is AutoresetMode.SAME_STEP and t == 99:
            final = info["final_info"]["gradients"]
            np.testing.assert_array_equal(final["dobs_daction"], info["gradients"]["dobs_daction"])
            assert not np.shares_memory(final["dobs_daction"], info["gradients"]["dobs_daction"])
            single.reset()


class Survivor(NLinkPendulum):
    """A pendulum that is paid for nothing but time."""

    def reward_terms(self, state: TaskState, action: Tensor, next_state: TaskState) -> dict[str, Tensor]:
        return {"alive": torch.ones_like(state.time, dtype=torch.float64)}


def test_a_constant_reward_has_zero_gradients() -> None:
    task = Survivor(2)
    state, action = random_transitions(task, 3)
    found = gradients_of(task, state, action, task.transition(state, action), "full")
    np.testing.assert_array_equal(found["dreward_daction"], np.zeros((3, 2)))
    np.testing.assert_array_equal(found["dreward_dstate"], np.zeros((3, 4)))
    assert found["dobs_daction"].any()


def test_nothing_is_differentiated_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Never:
        raise AssertionError("differentiated")

    env, asking = make(n_links=2), make(n_links=2, gradients="action")
    monkeypatch.setattr("gradgym.envs.advance.transition_gradients", refuse)
    env.reset(seed=0)
    env.step(np.zeros(2))
    asking.reset(seed=0)
    with pytest.raises(AssertionError, match="differentiated"):
        asking.step(np.zeros(2))


def test_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="gradients='both': choose None, 'action' or 'full'"):
        make(gradients="both")


def test_initial_state_type() -> None:
    assert isinstance(NLinkPendulum(2).initial([np.random.default_rng(0)]).numpy(), State)
