"""Transitions of any task, off its start, at which gradients are tested."""

from dataclasses import replace
from typing import Any

import mujoco
import numpy as np
import torch

from gradgym.envs.gradients import Gradients, transition_gradients
from gradgym.envs.task import Task
from gradgym.envs.task_state import TaskState
from gradgym.envs.tasks.ball_to_target import BallToTarget
from gradgym.envs.tasks.locomotion import Locomotion
from gradgym.envs.tasks.pendulum import NLinkPendulum
from gradgym.envs.tasks.racecar import Racecar
from gradgym.sim import mujoco_twin

IN_CONTACT = (Locomotion, BallToTarget, Racecar)


def random_transitions(task: Task, batch: int, seed: int = 0) -> tuple[TaskState, torch.Tensor]:
    """States off the start, at various times, the last of them at the last step of those tasks that have one."""
    if isinstance(task, IN_CONTACT):
        return transitions_in_contact(task, batch, seed)
    rng, model = np.random.default_rng(seed), task.model
    qpos = np.tile(model.initial_state().qpos, (batch, 1))
    for row in qpos:
        mujoco.mj_integratePos(model.mj_model, row, rng.normal(size=model.nv), 1.0)
    episode_steps = task.episode_steps if isinstance(task, NLinkPendulum) else 10
    time = torch.from_numpy(rng.integers(0, episode_steps - 2, batch))
    time[-1] = episode_steps - 1
    velocities, activations = (torch.from_numpy(rng.normal(size=(batch, n))) for n in (model.nv, model.na))
    state = TaskState(model, torch.from_numpy(qpos), velocities, activations, time)
    return state, torch.from_numpy(rng.uniform(-0.9, 0.9, (batch, *task.action_space.shape)))


def transitions_in_contact(task: Task, batch: int, seed: int) -> tuple[TaskState, torch.Tensor]:
    """States after moving for a while under random actions, all in contact."""
    rng = np.random.default_rng(seed)
    state, found = task.initial([np.random.default_rng(seed)]), []
    actions = (torch.from_numpy(rng.uniform(-0.5, 0.5, (1, *task.action_space.shape))) for _ in range(1000))
    with torch.no_grad():
        for t, action in enumerate(actions):
            state = task.transition(state, action)
            if t % 7 == 6 and mujoco_twin.cfrc_ext(task.model, state.numpy(), task.control(action).numpy()).any():
                found.append((state, action))
            if len(found) == batch:
                break
    states, actions = zip(*found, strict=True)
    qpos, qvel, act, time = (torch.cat([getattr(s, name) for s in states]) for name in ("qpos", "qvel", "act", "time"))
    return TaskState(task.model, qpos, qvel, act, time), torch.cat(actions)


def gradients_of(
    task: Task, state: TaskState, action: Any, next_state: TaskState, level: Gradients
) -> dict[str, np.ndarray]:
    """`transition_gradients` with the simulator's Jacobians of the transition."""
    return transition_gradients(task, state, action, next_state, task.linearize(state, action, level == "full")[1])


def moved(task: Task, state: TaskState, tangent: np.ndarray) -> TaskState:
    """Every state of the batch moved along one tangent vector (nx)."""
    nv, qpos = task.model.nv, state.qpos.numpy().copy()
    for row in qpos:
        mujoco.mj_integratePos(task.model.mj_model, row, tangent[:nv].copy(), 1.0)
    by = torch.from_numpy(tangent)
    numbers = {"qvel": state.qvel + by[nv : 2 * nv], "act": state.act + by[2 * nv :]}
    return replace(state, qpos=torch.from_numpy(qpos), **numbers, known_kinematics=None, known_forces=None)


def outputs(task: Task, state: TaskState, action: torch.Tensor) -> dict[str, Any]:
    following = task.transition(state, action)
    return {
        "dobs": task.observation(following).numpy(),
        "dreward": task.reward(state, action, following).numpy(),
        "dstate": following,
    }
