"""Models that differ between the worlds of a batch: each world is the one that it is alone."""

from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from derivatives import tangent_between
from parity import TIGHT

from gradgym import sim
from gradgym.sim import mujoco_twin, torch_bridge
from gradgym.sim.kernels import threads as pool

WORLDS = 5
SCENE = f"""
<mujoco>{TIGHT}
  <option timestep="0.004"/>
  <worldbody>
    <geom type="plane" size="5 5 .1" friction="0.05"/>
    <body name="ball" pos="0 0 0.095"><freejoint/><geom name="ball" size="0.1" friction="0.1"/></body>
    <body pos="0 1 1"><joint axis="0 1 0" damping="0.1"/><geom type="capsule" size="0.03" fromto="0 0 0 0.3 0 0"/>
      <site pos="0.3 0 0"/></body>
  </worldbody>
  <actuator><position joint="0" kp="3"/></actuator>
</mujoco>""".replace("<joint axis", '<joint name="0" axis')


@pytest.fixture(autouse=True)
def threads_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pool, "_SHORT", 0.0)  # all threads, however little there is to do
    before = sim.get_num_threads()
    yield
    sim.set_num_threads(before)


@pytest.fixture(scope="module")
def models() -> list[sim.Model]:
    """Friction, mass, inertia, size, gains, gravity: all another in each world, and the last as the first."""
    base, made = sim.Model.from_xml_string(SCENE), []
    m = base.mj_model
    for i in range(WORLDS - 1):
        factor = np.array([1.0, 0.6, 1.7, 1.2][i])
        body, geom = np.where(np.arange(3) == 1, factor, 1.0), np.where(np.arange(3) == 1, 1 + 0.1 * i, 1.0)
        made.append(
            base.replace(
                body_mass=m.body_mass * body,
                body_inertia=m.body_inertia * body[:, None],
                geom_friction=m.geom_friction * geom[:, None] ** 2,
                geom_size=m.geom_size * np.where(np.arange(3) == 1, 1 + 0.01 * i, 1.0)[:, None],
                actuator_gainprm=m.actuator_gainprm * factor,
                gravity=m.opt.gravity * factor,
            )
        )
    return [*made, made[0]]


def start(worlds: int = WORLDS) -> tuple[sim.State, np.ndarray]:
    rng = np.random.default_rng(1)
    qpos = np.tile([0.0, 0.0, 0.095, 1.0, 0.0, 0.0, 0.0, 0.3], (worlds, 1))
    qpos[:, 2] += rng.uniform(-0.001, 0.001, worlds)
    qvel = rng.normal(scale=0.5, size=(worlds, 7))
    qvel[:, 2] = -0.3
    return sim.State(qpos, qvel, np.zeros((worlds, 0))), rng.normal(size=(worlds, 1))


def row(value: Any, i: int) -> Any:
    return type(value)(*(None if x is None else x[i] for x in value))


def everything(backend: Any, model: Any, state: sim.State, ctrl: np.ndarray) -> dict[str, Any]:
    """Results of all functions by name."""
    batch = ctrl.shape[:-1]
    rng = np.random.default_rng(2)
    # The same in each world, so that a world alone has them too.
    seeds, weights = (np.broadcast_to(rng.normal(size=s), (*batch, *s)) for s in ((4, 14), (3, 6)))
    ctrls = ctrl[..., None, :] * np.array([[1.0], [0.5], [-1.0]])
    ours = backend is sim
    path = backend.rollout(model, state, ctrls, 2)
    blocks = backend.rollout(model, state, ctrls, 2, 2)
    forward = backend.forward(model, state, ctrl)
    found: dict[str, Any] = {
        "forward": forward._replace(contact=None),
        "contact": (forward.contact.dist, forward.contact.pos) if batch and ours else None,
        "step": backend.step(model, state, ctrl, 2),
        "step_vjp": backend.step_vjp(model, state, ctrl, seeds[..., 0, :], 2, ours),
        "jacobian": backend.step_jacobian(model, state, ctrl),
        "jacobian of two": backend.step_jacobian(model, state, ctrl, 2),
        "path": path[:3],
        "gradient": backend.rollout_vjp(model, path, seeds, params=ours),
        "gradient by blocks": backend.rollout_vjp(model, blocks, seeds[..., :3, :]),
        "cfrc_ext": (backend.cfrc_ext(model, state, ctrl),),
        "cfrc_ext_vjp": backend.cfrc_ext_vjp(model, state, ctrl, weights),
    }
    return {
        f"{name} {i} {key}": array
        for name, values in found.items()
        for i, value in enumerate(values or ())
        for key, array in (value.items() if isinstance(value, dict) else [("", value)])
        if array is not None
    }


@pytest.mark.parametrize("backend", [sim, mujoco_twin])
def test_each_world_is_the_one_that_it_is_alone(backend: Any, models: list[sim.Model]) -> None:
    state, ctrl = start()
    sim.set_num_threads(1)
    found = everything(backend, models, state, ctrl)
    for i, model in enumerate(models):
        alone = everything(backend, model, row(state, i), ctrl[i])
        assert alone.keys() | {"contact 0 ", "contact 1 "} == found.keys() | {"contact 0 ", "contact 1 "}
        for name, value in alone.items():
            np.testing.assert_array_equal(found[name][i], value, err_msg=name)
    assert (np.abs(found["step 1 "][0] - found["step 1 "][1:4]) > 1e-6).any(-1).all()


def test_the_number_of_threads_does_not_show(models: list[sim.Model]) -> None:
    many = models[:4] * 5
    state, ctrl = start(20)
    sim.set_num_threads(1)
    expected = everything(sim, many, state, ctrl)
    sim.set_num_threads(3)
    for name, value in everything(sim, many, state, ctrl).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_motion_and_forces_are_mujocos_in_each_world(models: list[sim.Model]) -> None:
    state, ctrl = start()
    after, forward = sim.step(models, state, ctrl), sim.forward(models, state, ctrl)
    for i, model in enumerate(models):
        m = model.mj_model
        d = mujoco.MjData(m)
        d.qpos[:], d.qvel[:], d.ctrl[:] = state.qpos[i], state.qvel[i], ctrl[i]
        mujoco.mj_forward(m, d)
        assert d.ncon == 1
        np.testing.assert_allclose(forward.qacc[i], d.qacc, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(forward.contact.dist[i, 0], d.contact.dist[0], rtol=0, atol=1e-14)
        mujoco.mj_step(m, d)
        np.testing.assert_allclose(after.qvel[i], d.qvel, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(after.qpos[i], d.qpos, rtol=1e-8, atol=1e-9)


def test_gradients_by_parameters_are_those_of_differences_in_each_world(models: list[sim.Model]) -> None:
    state, ctrl = start()
    seeds = np.random.default_rng(3).normal(size=(WORLDS, 14))
    params = sim.step_vjp(models, state, ctrl, seeds, params=True).params
    assert params is not None
    for name, h in (("body_mass", 1e-6), ("geom_friction", 1e-6), ("actuator_gainprm", 1e-6)):
        assert params[name].shape[0] == WORLDS
        directions = [np.abs(getattr(model.mj_model, name)) for model in models]

        def ends(sign: float, name: str = name, h: float = h, directions: Any = directions) -> sim.State:
            values = [getattr(m.mj_model, name) + sign * h * d for m, d in zip(models, directions, strict=True)]
            changes: list[dict[str, Any]] = [{name: value} for value in values]
            return sim.step([m.replace(**c) for m, c in zip(models, changes, strict=True)], state, ctrl)

        low, high, felt = ends(-1.0), ends(1.0), []
        for i, model in enumerate(models):
            difference = tangent_between(model, row(low, i), row(high, i)) / (2 * h)
            exact = np.sum(params[name][i] * directions[i])
            np.testing.assert_allclose(exact, seeds[i] @ difference, rtol=1e-5, atol=1e-7, err_msg=f"{name} {i}")
            felt.append(abs(exact) > 1e-7)
        assert sum(felt) >= 3, name  # a ball that sticks does not feel friction


def test_torch_takes_models_too_under_vmap_as_well(models: list[sim.Model]) -> None:
    state, ctrl = start()
    qpos, qvel, act = map(torch.from_numpy, state[:3])
    action = torch.from_numpy(ctrl).requires_grad_()
    after = torch_bridge.step(models, qpos, qvel, act, action, 2)
    np.testing.assert_array_equal(after.qvel.detach(), sim.step(models, state, ctrl, 2).qvel)
    seeds = torch.from_numpy(np.random.default_rng(0).normal(size=(2, *after.qvel.shape)))
    seed = np.concatenate([np.zeros((WORLDS, 7)), seeds[1].numpy()], axis=-1)
    expected = sim.step_vjp(models, state, ctrl, seed, 2)
    pull_back: Any = torch.func.vjp(lambda u: torch_bridge.step(models, qpos, qvel, act, u, 2).qvel, action.detach())[1]
    (by_ctrl,) = torch.func.vmap(pull_back)(seeds)
    np.testing.assert_array_equal(by_ctrl[1], expected.ctrl)
    weights = torch.ones(WORLDS, 3, 6, dtype=torch.float64)
    forces = torch_bridge.cfrc_ext(models, qpos.requires_grad_(), qvel, act, action.detach())
    np.testing.assert_array_equal(forces.detach(), sim.cfrc_ext(models, state, ctrl))
    (by_qpos,) = torch.autograd.grad((forces * weights).sum(), qpos)
    assert (by_qpos[1:4] - by_qpos[0]).abs().amin() >= 0 and by_qpos.abs().max() > 1.0
    tall = [m.replace(site_pos=[[0.3, 0, 0.1 * i]]) for i, m in enumerate(models)]
    sites = torch_bridge.kinematics(tall, qpos.detach()).site_xpos
    np.testing.assert_array_equal(sites[3], torch_bridge.kinematics(tall[3], qpos[3].detach()).site_xpos)
    rates = torch.func.vmap(
        lambda t: torch.func.jvp(lambda q: torch_bridge.kinematics(tall, q), (qpos.detach(),), (t,))[1]
    )(torch.ones(2, *qpos.shape, dtype=torch.float64))
    one = torch.func.jvp(lambda q: torch_bridge.kinematics(tall[3], q), (qpos[3].detach(),), (torch.ones(8).double(),))
    np.testing.assert_array_equal(rates.site_xpos[1, 3], one[1].site_xpos)


def test_what_does_not_fit_is_refused_in_one_line(models: list[sim.Model]) -> None:
    state, ctrl = start()
    with pytest.raises(ValueError, match=r"^3 models for a batch of 5 worlds: give one, or one for each world$"):
        sim.step(models[:3], state, ctrl)
    with pytest.raises(TypeError, match=r"^model: expected a sim\.Model, or a sequence of them, .*got an empty list;"):
        sim.step([], state, ctrl)
    other = sim.Model.from_xml_string(SCENE.replace("<worldbody>", '<worldbody><geom pos="0 0 -9" size="1"/>'))
    with pytest.raises(ValueError, match=r"^models\[4\] differs from models\[0\] in size: .*ngeom \(4, not 3\)"):
        sim.step_jacobian([*models[:4], other], state, ctrl)
    with pytest.raises(
        ValueError, match=r"^models\[4\] differs .* in integrator, solver or the kinds of its contacts$"
    ):
        sim.forward([*models[:4], models[0].replace(integrator=3)], state, ctrl)
    hinge = SCENE.replace('<joint name="0"', '<joint name="0" type="slide"')
    with pytest.raises(ValueError, match=r"^models\[4\] differs from models\[0\] in joints$"):
        mujoco_twin.step([*models[:4], sim.Model.from_xml_string(hinge)], state, ctrl)
