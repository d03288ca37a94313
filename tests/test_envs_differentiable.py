"""Environments as a torch graph: equal to the adapter's steps, with gradients that differences confirm."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from gradgym import sim
from gradgym.envs.differentiable import DifferentiableEnvs, TensorStep
from gradgym.envs.task_state import TaskState
from gradgym.envs.vector import TaskVectorEnv

PENDULUM, HOPPER = "gradgym.envs.tasks.pendulum:NLinkPendulum", "gradgym.envs.tasks.hopper:Hopper"
ARGUMENTS: dict[str, dict[str, Any]] = {PENDULUM: {"n_links": 2}, HOPPER: {}}
TASKS = pytest.mark.parametrize("task", [PENDULUM, HOPPER], ids=["pendulum", "hopper"])
STEPS = 5


def make(task: str, num_envs: int = 2, **options: Any) -> TaskVectorEnv:
    """Environments that were reset with seed 0."""
    every: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP, **ARGUMENTS[task], **options}
    envs = TaskVectorEnv(task, num_envs, **every)
    envs.reset(seed=0)
    return envs


def controls(envs: TaskVectorEnv, steps: int, scale: float = 0.5) -> Tensor:
    """Random actions (steps, num_envs, n_act)."""
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.uniform(-scale, scale, (steps, *(envs.action_space.shape or ()))))


def roll_out(worlds: DifferentiableEnvs, start: TaskState, actions: Tensor) -> list[TensorStep]:
    worlds.envs.state = start
    worlds.detach()
    return [worlds.step(a) for a in actions]


def total_reward(steps: list[TensorStep]) -> Tensor:
    return torch.stack([step.reward for step in steps]).sum()


def landed(task: str) -> tuple[DifferentiableEnvs, TaskState]:
    """Two environments in motion, the hoppers with a foot on the ground."""
    envs = make(task)
    for action in controls(envs, 13):
        envs.step(action.numpy())
    return DifferentiableEnvs(envs), envs.state


def touches(envs: TaskVectorEnv) -> bool:
    """Whether every environment is in contact."""
    model, state = envs.task.model, envs.state.map(Tensor.detach).numpy()
    rows = (sim.State(*(x[i] for x in state[:3])) for i in range(envs.num_envs))
    return all((sim.forward(model, row, np.zeros(model.nu)).contact.dist < 0).any() for row in rows)


def central_difference(function: Callable[[Tensor], Tensor], x: Tensor, direction: Tensor, h: float = 1e-5) -> float:
    with torch.no_grad():
        return float(function(x + h * direction) - function(x - h * direction)) / (2 * h)


@TASKS
def test_gradients_by_actions_are_differences(task: str) -> None:
    worlds, start = landed(task)
    actions = controls(worlds.envs, STEPS)
    leaf = actions.clone().requires_grad_()
    steps = roll_out(worlds, start, leaf)
    assert task == PENDULUM or touches(worlds.envs)
    assert not any((step.terminated | step.truncated).any() for step in steps)
    (gradient,) = torch.autograd.grad(total_reward(steps), leaf)
    assert (gradient[0] != 0).all()
    for _ in range(3):
        direction = torch.randn_like(actions)
        found = central_difference(lambda a: total_reward(roll_out(worlds, start, a)), actions, direction)
        # Differences of smooth motion with step 1e-5: truncation and rounding are below 1e-9 of the terms.
        expected = float((gradient * direction).sum())
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-8 * float((gradient * direction).abs().sum()))


@TASKS
def test_gradients_by_a_policys_parameters_are_differences(task: str) -> None:
    """Through the observations as well, which a sequence of actions does not use."""
    worlds, start = landed(task)
    n_obs, n_act = worlds.envs.single_observation_space.shape[0], worlds.envs.single_action_space.shape[0]  # pyright: ignore[reportOptionalSubscript]
    weights = 0.1 * torch.randn(n_act, n_obs, dtype=torch.float64)

    def total(w: Tensor, cut: bool = False) -> Tensor:
        worlds.envs.state, rewards = start, torch.zeros((), dtype=torch.float64)
        obs = worlds.detach()
        for _ in range(STEPS):
            step = worlds.step(torch.tanh(obs @ w.T))
            obs, rewards = step.obs.detach() if cut else step.obs, rewards + step.reward.sum()
        return rewards

    leaf = weights.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(leaf), leaf)
    (without,) = torch.autograd.grad(total(leaf, cut=True), leaf)
    direction = torch.randn_like(weights)
    found = central_difference(total, weights, direction)
    assert found == pytest.approx(float((gradient * direction).sum()), rel=1e-6)
    assert abs(found - float((without * direction).sum())) > 1e-4 * abs(found)


@TASKS
def test_steps_are_those_of_the_adapter(task: str) -> None:
    """Bit for bit, over ends by health and by time, and the starts of new episodes."""
    limit = 23
    envs, reference = (make(task, 4, max_episode_steps=limit) for _ in range(2))
    worlds = DifferentiableEnvs(envs)
    first = worlds.detach().float().numpy()
    np.testing.assert_array_equal(first, reference.task.observation(reference.state).numpy().astype(np.float32))
    ends = Counter()
    for action in controls(envs, 60, scale=1.2):  # beyond the bounds too
        step = worlds.step(action.requires_grad_())
        obs, reward, terminated, truncated, info = reference.step(action.detach().numpy())
        found = step.obs.detach().float().numpy(), step.reward.detach().numpy()
        for a, b in zip(found, (obs, reward), strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(step.terminated, terminated)
        np.testing.assert_array_equal(step.truncated, truncated & ~terminated)
        ended = terminated | truncated
        final = step.next_obs.detach().float().numpy()
        np.testing.assert_array_equal(final[~ended], obs[~ended])
        for i in np.flatnonzero(ended):
            np.testing.assert_array_equal(final[i], info["final_obs"][i])
        ends["terminated"] += int(terminated.sum())
        ends["truncated"] += int(step.truncated.sum())
    assert ends["truncated"] > 0
    assert (ends["terminated"] > 0) == (task == HOPPER)


def test_an_end_of_the_task_is_no_truncation() -> None:
    """The last step that time allows; the second hopper has fallen as well."""
    envs = make(HOPPER, max_episode_steps=10)
    fallen = envs.state.qpos.clone()
    fallen[1, 2] = 1.0
    envs.state = replace(envs.state, qpos=fallen, time=torch.tensor([9, 9]))
    step = DifferentiableEnvs(envs).step(torch.zeros(2, 3))
    assert (step.terminated.tolist(), step.truncated.tolist()) == ([False, True], [True, False])


def test_no_gradient_crosses_the_start_of_an_episode() -> None:
    """Environment 1 begins anew after the third of five steps, environment 0 does not."""
    envs = make(PENDULUM, max_episode_steps=10)
    worlds = DifferentiableEnvs(envs)
    start = replace(envs.state, time=torch.tensor([0, 7]))
    leaf = controls(envs, STEPS).requires_grad_()
    steps = roll_out(worlds, start, leaf)
    np.testing.assert_array_equal(torch.stack([s.truncated for s in steps]).int().T, [[0] * 5, [0, 0, 1, 0, 0]])
    (by_later,) = torch.autograd.grad(total_reward(steps[3:]) + steps[2].obs.sum(), leaf, retain_graph=True)
    assert (by_later[:3, 1] == 0).all()
    assert (by_later[3:, 1] != 0).all() and (by_later[:, 0] != 0).all()
    # What the ended episode earned, and where it came to, still answers to its actions.
    for value in (steps[2].reward[1], steps[2].next_obs[1].sum()):
        (by_end,) = torch.autograd.grad(value, leaf, retain_graph=True)
        assert (by_end[:3, 1] != 0).all() and (by_end[3:] == 0).all()


def test_detach_ends_the_graph() -> None:
    envs = make(PENDULUM)
    worlds = DifferentiableEnvs(envs)
    leaf = controls(envs, 2).requires_grad_()
    worlds.detach()
    worlds.step(leaf[0])
    obs = worlds.detach()
    assert not obs.requires_grad and not envs.state.qpos.requires_grad
    (gradient,) = torch.autograd.grad(worlds.step(leaf[1]).reward.sum(), leaf)
    assert (gradient[0] == 0).all() and (gradient[1] != 0).all()


@TASKS
def test_a_world_that_diverges_ends_and_leaves_the_others_alone(task: str) -> None:
    blow = torch.tensor([3e9, -2e9, 1e9, 2e9, 1e9, 3e9], dtype=torch.float64)

    def episode(poisoned: bool) -> tuple[list[TensorStep], Tensor, DifferentiableEnvs]:
        envs = make(task, 3)
        worlds = DifferentiableEnvs(envs)
        leaf = controls(envs, 4).requires_grad_()
        worlds.detach()
        steps = [worlds.step(leaf[0])]
        if poisoned:
            qvel = envs.state.qvel + torch.tensor([0.0, 1.0, 0.0])[:, None] * blow[: envs.state.qvel.shape[1]]
            envs.state = replace(envs.state, qvel=qvel)
        steps += [worlds.step(a) for a in leaf[1:]]
        objective = total_reward(steps) + torch.stack([s.next_obs for s in steps]).sum()
        gradient = torch.autograd.grad(objective, leaf, retain_graph=True)[0]
        if poisoned:
            # No way leads back from what stands in for the state that the action led to.
            by_last = torch.autograd.grad(steps[1].next_obs[1].sum(), leaf, retain_graph=True)[0]
            assert (by_last == 0).all()
            worlds.record.rows = worlds.record.dropped = 0
            torch.autograd.grad(objective, leaf)
        return steps, gradient, worlds

    steps, gradient, worlds = episode(poisoned=True)
    expected_steps, expected, _ = episode(poisoned=False)
    np.testing.assert_array_equal(torch.stack([s.diverged for s in steps])[:, 1], [False, True, False, False])
    np.testing.assert_array_equal(torch.stack([s.terminated for s in steps])[:, 1], [False, True, False, False])
    assert steps[1].reward[1] == 0.0 and not steps[1].truncated.any()
    for step in steps:
        assert all(field.isfinite().all() for field in (step.obs, step.reward, step.next_obs))
    assert gradient.isfinite().all()
    assert (gradient[1, 1] == 0).all() and (gradient[2, 1] != 0).any()
    for step, other in zip(steps, expected_steps, strict=True):
        assert not step.diverged[[0, 2]].any()
        for name in ("obs", "reward", "terminated", "truncated", "next_obs"):
            assert torch.equal(getattr(step, name)[[0, 2]], getattr(other, name)[[0, 2]])
    assert torch.equal(gradient[:, [0, 2]], expected[:, [0, 2]])
    # One of a state and one of an action for each environment and step.
    assert worlds.record.rows == 2 * 3 * 4
    # The hopper's way back from where it diverged is NaN, at the state and at the action.
    assert worlds.record.dropped == (2 if task == HOPPER else 0)


def test_adjoints_that_are_not_finite_are_dropped_and_counted() -> None:
    envs = make(PENDULUM)
    worlds, start = DifferentiableEnvs(envs), envs.state
    leaf = controls(envs, 3).requires_grad_()

    def gradient(factor: Tensor) -> Tensor:
        """Of all observations, by the actions; `factor` (2, 1) is on the adjoint of the last observation."""
        steps = roll_out(worlds, start, leaf)
        steps[2].next_obs.register_hook(lambda adjoint: factor * adjoint)
        return torch.autograd.grad(torch.stack([s.next_obs for s in steps]).sum(), leaf)[0]

    clean, without_last = gradient(torch.ones(2, 1)), gradient(torch.tensor([[1.0], [0.0]]))
    assert (worlds.record.rows, worlds.record.dropped) == (2 * 12, 0)
    poisoned = gradient(torch.tensor([[1.0], [torch.nan]]))
    assert (worlds.record.rows, worlds.record.dropped) == (3 * 12, 1)
    # The last state brings nothing back, the states before it what they always do.
    assert torch.equal(poisoned, without_last)
    assert torch.equal(poisoned[:, 0], clean[:, 0])
    assert (poisoned[2, 1] == 0).all() and (poisoned[:2, 1] != 0).all()


def test_long_adjoints_are_cut_to_the_limit_and_counted() -> None:
    """One step of a pendulum, whose reward meets the action only through the state it leads to."""
    envs = make(PENDULUM)
    envs.state = replace(envs.state, qvel=envs.state.qvel + torch.tensor([[0.0, 0.0], [3.0, -2.0]]))
    start = envs.state
    leaf = controls(envs, 1).requires_grad_()
    free = DifferentiableEnvs(envs)
    (plain,) = torch.autograd.grad(total_reward(roll_out(free, start, leaf)), leaf)
    after = envs.task.transition(start, leaf[0].detach())
    after = TaskState(after.model, after.qpos.requires_grad_(), after.qvel, after.act, after.time)
    (adjoint,) = torch.autograd.grad(envs.task.reward(start, leaf[0].detach(), after).sum(), after.qpos)
    norms = adjoint.norm(dim=-1)
    order = norms.argsort()
    limit = float(norms.mean())
    assert norms[order[0]] < limit < norms[order[1]]
    cut = DifferentiableEnvs(envs, adjoint_limit=limit)
    (found,) = torch.autograd.grad(total_reward(roll_out(cut, start, leaf)), leaf)
    assert torch.equal(found[0, order[0]], plain[0, order[0]])
    torch.testing.assert_close(found[0, order[1]], limit / norms[order[1]] * plain[0, order[1]], rtol=1e-12, atol=0.0)
    assert (free.record.limited, cut.record.limited) == (0, 1)
    assert (cut.record.rows, cut.record.dropped) == (4, 0)


def graph_nodes(tensor: Tensor) -> Counter[str]:
    """Names of all nodes behind a tensor."""
    seen, left = set(), [tensor.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            left += [following for following, _ in node.next_functions]
    return Counter(type(node).__name__ for node in seen)


def test_the_simulator_is_one_node_a_step() -> None:
    envs = make(HOPPER)
    worlds = DifferentiableEnvs(envs)
    steps = roll_out(worlds, envs.state, controls(envs, STEPS).requires_grad_())
    nodes = graph_nodes(total_reward(steps) + steps[-1].next_obs.sum())
    # Torch's own nodes carry a number behind their name, except for leaves.
    custom = {name: count for name, count in nodes.items() if not name[-1].isdigit() and name != "AccumulateGrad"}
    # The guards are the identity: of an action before the step, of a state behind it.
    assert custom == {"_RolloutBackward": STEPS, "_GuardBackward": 2 * STEPS}


def saved_numbers(frame_skip: int, steps: int) -> int:
    """Numbers that the graph of a rollout of two hoppers keeps."""
    envs = make(HOPPER, frame_skip=frame_skip)
    worlds = DifferentiableEnvs(envs)
    actions, count = controls(envs, steps).requires_grad_(), []

    def pack(tensor: Tensor) -> Tensor:
        count.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        found = roll_out(worlds, envs.state, actions)
    assert not any(step.terminated.any() for step in found)
    return sum(count)


def test_memory_grows_by_the_checkpoint_and_not_by_substeps() -> None:
    assert saved_numbers(frame_skip=5, steps=8) == saved_numbers(frame_skip=1, steps=8)
    a_step = (saved_numbers(frame_skip=5, steps=8) - saved_numbers(frame_skip=5, steps=4)) / 4
    checkpoint = 2 * (2 * (6 + 6) + 3)  # two hoppers: both states of the step, and its control
    # What tasks keep for themselves, the clamping of actions and velocities and the reward, is of the same size.
    assert checkpoint <= a_step <= 4 * checkpoint


def test_the_graph_needs_the_simulator() -> None:
    with pytest.raises(ValueError, match="backend='mujoco' has no torch graph"):
        DifferentiableEnvs(make(PENDULUM, backend="mujoco"))
    with pytest.raises(ValueError, match=r"adjoint_limit=0\.0"):
        DifferentiableEnvs(make(PENDULUM), adjoint_limit=0.0)
