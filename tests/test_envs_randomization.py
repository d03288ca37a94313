"""Variants of a task's model: what they change, and that each episode has one of them."""

from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor
from transitions import gradients_of, moved, outputs

from gradgym import sim
from gradgym.envs.differentiable import DifferentiableEnvs
from gradgym.envs.randomization import variants
from gradgym.envs.task import Task
from gradgym.envs.task_state import TaskState
from gradgym.envs.vector import TaskVectorEnv
from gradgym.sim import Model

BACKENDS = ["sim", "mujoco"]
RANGES = {"friction": (0.2, 3.0), "mass": (0.5, 2.0), "size": (0.95, 1.05)}
SCENE = """
<mujoco>
  <option timestep="0.01" tolerance="1e-12"/>
  <worldbody>
    <geom type="plane" size="5 5 .1" friction="0.05"/>
    <body name="puck" pos="0 0 0.099"><freejoint name="puck"/><geom size="0.1" friction="0.1"/>
      <site pos="0.1 0 0.1"/></body>
  </worldbody>
  <actuator><motor joint="puck" gear="1 0 0 0 0 0" ctrlrange="-20 20"/></actuator>
</mujoco>"""


class Push(Task):
    """A ball that is pushed over the ground."""

    n_substeps = 2

    def __init__(self, backend: str = "sim", n: int = 8) -> None:
        base = Model.from_xml_string(SCENE)
        super().__init__(variants(base, "puck", RANGES, n, 0), backend=backend)

    def observation(self, state: TaskState, rng: Any = None, params: None = None) -> Tensor:
        return torch.cat([state.kinematics.site_xpos[..., 0, :], state.qvel], dim=-1)

    def reward_terms(self, state: TaskState, action: Tensor, next_state: TaskState) -> dict[str, Tensor]:
        return {"far": next_state.qpos[..., 0], "force": 1e-3 * self.contact_forces(next_state, action)[..., 1, 3]}

    def terminal(self, state: TaskState, rng: Any = None, params: None = None) -> Tensor:
        return state.qpos[..., 0] > 0.02


def make(**options: Any) -> TaskVectorEnv:
    return TaskVectorEnv(f"{__name__}:Push", 6, **options)


def drawn(state: TaskState) -> Tensor:
    assert state.variant is not None
    return state.variant.clone()


def test_variants_are_what_the_compiler_makes_of_the_changed_scene() -> None:
    base = Model.from_xml_string(SCENE)
    for ranges in (RANGES, {"size": RANGES["size"]}, {"mass": RANGES["mass"]}):
        made = variants(base, "puck", ranges, 4, 1)
        assert made[0] is base
        for one in made[1:]:
            m, spec = one.mj_model, mujoco.MjSpec.from_string(SCENE)
            size, mass = m.geom_size[1, 0] / 0.1, m.body_mass[1] / base.body_mass[1]
            if "mass" not in ranges:
                np.testing.assert_allclose(mass, size**3, rtol=1e-12)
            geom = spec.geoms[1]
            geom.size[0], geom.mass, geom.friction[0] = m.geom_size[1, 0], m.body_mass[1], m.geom_friction[1, 0]
            expected = spec.compile()
            for name in ("body_inertia", "body_invweight0", "dof_invweight0", "geom_rbound", "dof_M0"):
                np.testing.assert_allclose(getattr(m, name), getattr(expected, name), rtol=1e-10, err_msg=name)
            np.testing.assert_allclose(m.body_subtreemass, expected.body_subtreemass, rtol=1e-12)
    friction = [one.con_friction[0, 0] for one in variants(base, 1, {"friction": RANGES["friction"]}, 30, 2)]
    assert min(friction) == 0.05 and 0.2 < max(friction) < 0.3  # the ground's where it is larger


def test_poses_do_not_depend_on_the_variant() -> None:
    made = variants(Model.from_xml_string(SCENE), "puck", RANGES, 3, 0)
    state = sim.State(np.array([[0.1, 0, 0.3, 0.5, 0.1, 0.2, 0.3]] * 3), np.zeros((3, 6)), np.zeros((3, 0)))
    found = sim.forward(made, state, np.zeros((3, 1)))
    for name in ("xpos", "xquat", "xipos", "geom_xpos", "geom_xmat", "site_xpos", "site_xmat"):
        value = getattr(found, name)
        np.testing.assert_array_equal(value, np.broadcast_to(value[0], value.shape))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_episodes_keep_their_variant_and_the_next_one_draws_another(backend: str, mode: AutoresetMode) -> None:
    envs = make(backend=backend, autoreset_mode=mode)
    envs.reset(seed=1)
    first, restarted = drawn(envs.state), torch.zeros(6, dtype=torch.bool)
    assert len(first.unique()) > 2
    for _ in range(40):
        state, forces = envs.state, np.array([[15.0]] * 3 + [[-1.0]] * 3)
        envs.step(forces)
        restarted |= envs.state.time == 0
        for i in torch.nonzero(envs.state.time > 0).flatten().tolist():
            assert drawn(envs.state)[i] == drawn(state)[i]
            alone = sim.State(*(None if x is None else x[i] for x in state.numpy()))
            after = envs.task.backend.step(envs.task.models[int(drawn(state)[i])], alone, forces[i], 2)
            np.testing.assert_array_equal(envs.state.qpos[i], after.qpos)
    assert restarted.tolist() == [True] * 3 + [False] * 3
    assert (drawn(envs.state)[:3] != first[:3]).any()
    assert torch.equal(drawn(envs.state)[3:], first[3:])


def test_seeds_repeat_variants() -> None:
    envs, found = make(), []
    for seed in (3, 3, 4):
        envs.reset(seed=seed)
        found.append(drawn(envs.state))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_are_those_of_each_variant(backend: str) -> None:
    task, h = Push(backend), 1e-6
    state = task.start([np.random.default_rng(i) for i in range(4)])
    state = moved(task, state, np.array([0, 0, 0, 0.1, 0.2, 0, 0.3, 0.1, -0.1, 0, 0.5, 0]))
    action = torch.tensor([[3.0], [-2.0], [5.0], [1.0]], dtype=torch.float64)
    with torch.no_grad():
        following = task.transition(state, action)
        task.reward(state, action, following)
        found = gradients_of(task, state, action, following, "full")
        low, high = (outputs(task, state, action + s * h) for s in (-1, 1))
    np.testing.assert_allclose(found["dobs_daction"][..., 0], (high["dobs"] - low["dobs"]) / (2 * h), atol=1e-6)
    expected = (high["dreward"] - low["dreward"]) / (2 * h)
    np.testing.assert_allclose(found["dreward_daction"][:, 0], expected, atol=1e-6)
    assert len(np.unique(np.round(found["dobs_daction"][:, 0, 0], 9))) == len(drawn(state).unique()) > 1


def test_the_graph_of_environments_has_each_worlds_gradient() -> None:
    envs = make()
    envs.reset(seed=0)
    worlds, state = DifferentiableEnvs(envs), envs.state
    worlds.detach()
    action = torch.ones(6, 1, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(worlds.step(action).reward.sum(), action)
    assert torch.equal(drawn(envs.state), drawn(state))
    with torch.no_grad():
        following = envs.task.transition(state, action)
        envs.task.reward(state, action, following)
        expected = gradients_of(envs.task, state, action.detach(), following, "action")["dreward_daction"]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_state_without_a_variant_has_the_first() -> None:
    task = Push(n=3)
    plain, other = task.state_at(task.model.initial_state(), 2), task.start([np.random.default_rng(i) for i in (0, 1)])
    mixed = plain.where(torch.tensor([True, False]), other)
    assert drawn(mixed).tolist() == [0, int(drawn(other)[1])]
    assert task.models_at(plain) is task.model


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody", RANGES), "body='nobody': the model has no such body besides the world"),
        ((0, RANGES), "body=0: the model has no such body besides the world"),
        ((1, {"colour": (0, 1)}), "randomize has 'colour': choose among friction, mass, size"),
        ((1, {"mass": (0, 1)}), r"randomize\['mass'\] is \(0, 1\): give the lowest and the highest factor"),
        ((1, RANGES, 0), "n=0: must be at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        variants(Model.from_xml_string(SCENE), *arguments)
