"""The simulator in the loop: against MuJoCo, its gradient against differences, where fingers start, bad input."""

from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from torch import Tensor

from gradgym import sim
from gradgym.agents.pushing.simulation import Motion, PushingSimulator, rollout_each
from gradgym.agents.pushing.touch import touch
from gradgym.envs.polygon import Polygon, placed
from gradgym.envs.pushing_loss import pose_loss, trajectory_loss
from gradgym.envs.pushing_scene import FINGER_RADIUS, KNOT_SECONDS, TOUCHING, pushing_scene

BLOCK = Polygon([[-0.05, -0.05], [0.05, -0.05], [0.05, 0.05], [-0.05, 0.05]])
NOTCHED = Polygon([[-0.05, -0.05], [0.05, -0.05], [0.06, 0.03], [0.0, 0.02], [-0.05, 0.06]])
STIFFNESS = 500.0


def lift(polygon: Polygon = BLOCK, turn: float = 0.1) -> tuple[Tensor, Tensor, Tensor]:
    """Desired poses, contacts a little above the centre on both sides, and commands: (1, 5, ...)."""
    share = np.linspace(0.0, 1.0, 5)
    height = -polygon.vertices[:, 1].min()
    r = np.stack([0.02 * share, height + 0.08 * share, turn * share], axis=1)
    sides = polygon.closest(np.array([[-0.2, 0.003], [0.2, 0.006]])).point
    p = placed(sides, r)
    force = np.array([[9.0, 5.0], [-9.0, 5.0]])
    return torch.from_numpy(r)[None], torch.from_numpy(p)[None], torch.from_numpy(p + force / STIFFNESS)[None]


def gradients(motion: Tensor, *inputs: Tensor) -> list[Tensor]:
    weights = torch.randn(motion.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return list(torch.autograd.grad((weights * motion).sum(), inputs))


def test_two_fingers_lift_and_one_side_pushes() -> None:
    r, p, commands = lift(turn=0.0)
    motion = PushingSimulator(BLOCK).motion(commands, r, p)
    assert isinstance(motion, Motion)
    assert float(trajectory_loss(motion.poses, r)) < 0.1
    assert motion.poses[0, -1, 1] > 0.12
    assert motion.fingers.shape == (1, 5, 2, 2)
    share = torch.linspace(0.0, 1.0, 5, dtype=torch.float64)
    r = torch.stack([-0.1 + 0.1 * share, torch.full_like(share, 0.05), 0.0 * share], dim=-1)[None]
    p = torch.stack([r[..., :2] + torch.tensor([-0.05, y]) for y in (-0.02, 0.01)], dim=-2)
    poses = PushingSimulator(BLOCK).rollout(p + torch.tensor([5.0, 0.0]) / STIFFNESS, r)
    assert float(trajectory_loss(poses, r)) < 0.1
    backwards = PushingSimulator(BLOCK).rollout(p - torch.tensor([5.0, 0.0]) / STIFFNESS, r, p)
    assert float(trajectory_loss(backwards, r)) > 1.0  # nothing pulls


@pytest.mark.parametrize("view", ["sagittal", "top"])
@pytest.mark.parametrize("polygon", [BLOCK, NOTCHED])
def test_every_step_is_mujocos(polygon: Polygon, view: Any) -> None:
    m = pushing_scene(polygon, view).compile()
    model, data = sim.Model.from_mujoco(m), mujoco.MjData(m)
    r, p, commands = (x[0].numpy() for x in lift(polygon))
    start, offsets = touch(polygon, torch.from_numpy(p)[None], torch.from_numpy(r)[None])
    data.qpos[:] = [*r[0], *start.flatten().numpy()]
    targets, touched = (commands + offsets[0].numpy()).reshape(5, 4), 0
    for k in range(160):
        state = sim.State(data.qpos.copy(), data.qvel.copy(), np.zeros(0))
        data.ctrl[:] = targets[k // 40] + (k % 40) / 40 * (targets[k // 40 + 1] - targets[k // 40])
        found = sim.step(model, state, data.ctrl.copy())
        mujoco.mj_step(m, data)
        touched += data.ncon > 1
        np.testing.assert_allclose(found.qpos, data.qpos, rtol=0, atol=1e-10)
        np.testing.assert_allclose(found.qvel, data.qvel, rtol=0, atol=1e-8)
    assert touched > 100


def test_backends_agree() -> None:
    r, p, commands = lift(NOTCHED)
    ours, theirs = (PushingSimulator(NOTCHED, backend=backend).rollout(commands, r, p) for backend in ("sim", "mujoco"))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("softness", [0.0, 0.002])
@pytest.mark.parametrize("polygon", [BLOCK, NOTCHED])
def test_adjoint_is_the_limit_of_differences(polygon: Polygon, softness: float) -> None:
    r, p, commands = (x.repeat(2, *[1] * (x.ndim - 1)) for x in lift(polygon))
    commands = commands + 1e-3 * torch.randn(commands.shape, dtype=torch.float64)
    commands.requires_grad_()
    p.requires_grad_()
    own = PushingSimulator(polygon, contact_softness=softness)
    other = PushingSimulator(polygon, contact_softness=softness, gradient="differences", delta=1e-6)
    found, expected = own.rollout(commands, r, p), other.rollout(commands, r, p)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    for a, b in zip(gradients(found, commands, p), gradients(expected, commands, p), strict=True):
        assert b.abs().max() > 0.1
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6 * float(b.abs().max()))


def test_whole_function_by_commands_alone() -> None:
    """Differences from outside: with the place where fingers start, which follows the commands."""
    r, _, commands = lift(NOTCHED)
    simulator = PushingSimulator(NOTCHED, contact_softness=0.002)
    commands.requires_grad_()
    (found,) = gradients(simulator.rollout(commands, r), commands)
    expected, delta = torch.zeros_like(found), 1e-7
    weights = torch.randn((1, 5, 3), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for index in np.ndindex(*commands.shape):
            move = torch.zeros_like(commands)
            move[index] = delta
            plus, minus = (simulator.rollout(commands + s * move, r) for s in (1.0, -1.0))
            expected[index] = (weights * (plus - minus)).sum() / (2 * delta)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_worlds_of_a_batch_and_of_other_polygons_are_alone() -> None:
    r, p, commands = lift()
    other = lift(NOTCHED)
    both = [torch.cat([a, b]) for a, b in zip((commands, r, p), (other[2], other[0], other[1]), strict=True)]
    simulators = [PushingSimulator(BLOCK), PushingSimulator(NOTCHED)]
    found = rollout_each(simulators, *both)
    torch.testing.assert_close(found[:1], simulators[0].rollout(commands, r, p), rtol=0, atol=0)
    torch.testing.assert_close(found[1:], simulators[1].rollout(other[2], other[0], other[1]), rtol=0, atol=0)
    twice = simulators[1].rollout(*(x.repeat(2, *[1] * (x.ndim - 1)) for x in (other[2], other[0], other[1])))
    torch.testing.assert_close(twice[1:], found[1:], rtol=0, atol=0)
    assert simulators[0].rollout(commands.float(), r.float()).dtype == torch.float32


def test_fingers_start_in_touch_with_the_objects_velocity() -> None:
    r, _, commands = lift(NOTCHED, turn=0.3)
    r[..., 2] += 0.4
    start, offsets = touch(NOTCHED, commands, r)
    local = placed(start[0].numpy() - r[0, 0, :2].numpy(), [0.0, 0.0, -float(r[0, 0, 2])])
    point, normal = NOTCHED.closest(local)
    np.testing.assert_allclose(np.linalg.norm(local - point, axis=-1), TOUCHING, atol=1e-12)
    world = placed(normal, [0.0, 0.0, float(r[0, 0, 2])])
    np.testing.assert_allclose(offsets[0, 0].numpy(), FINGER_RADIUS * world, atol=1e-12)
    seen: dict[str, Tensor] = {}
    simulator = PushingSimulator(NOTCHED)
    with pytest.MonkeyPatch.context() as patch:
        bridge = sim.torch_bridge.rollout

        def spy(model: Any, qpos: Tensor, qvel: Tensor, *rest: Any) -> Any:
            seen.update(qpos=qpos, qvel=qvel)
            return bridge(model, qpos, qvel, *rest)

        patch.setattr(sim.torch_bridge, "rollout", spy)
        simulator.rollout(commands, r)
    qpos, qvel = seen["qpos"][0].numpy(), seen["qvel"][0].numpy()
    np.testing.assert_allclose(qvel[:3], (r[0, 1] - r[0, 0]).numpy() / KNOT_SECONDS)
    later = placed(
        placed(qpos[3:].reshape(2, 2) - qpos[:2], [0, 0, 1e-6 * qvel[2]]), [*(qpos[:2] + 1e-6 * qvel[:2]), 0]
    )
    np.testing.assert_allclose(qvel[3:].reshape(2, 2), (later - qpos[3:].reshape(2, 2)) / 1e-6, atol=1e-6)


def test_the_loss_has_the_papers_unit() -> None:
    a, b = torch.zeros(5, 3), torch.tensor([0.01, 0.02, 0.5]).expand(5, 3)
    assert float(trajectory_loss(a, b)) == pytest.approx((1.0 + 4.0 + (3.0 * np.sin(0.5)) ** 2) / 3.0)
    assert pose_loss(a, b).shape == (5,)


def test_bad_input_is_named() -> None:
    r, p, commands = lift()
    simulator = PushingSimulator(BLOCK)
    wrong = commands.clone()
    wrong[0, 2] = torch.nan
    for arguments, message in (
        ((commands[:, :, :1], r), r"commands have shape \(1, 5, 1, 2\), expected \(B, T, 2, 2\) with T of 2 or more"),
        ((commands, r[:, :4]), r"r has shape \(1, 4, 3\), expected \(1, 5, 3\)"),
        ((commands, r, p[:, :3]), r"contacts have shape \(1, 3, 2, 2\), expected \(1, 5, 2, 2\)"),
        ((wrong, r), "commands: world 0 is not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            simulator.rollout(*arguments)
    with pytest.raises(ValueError, match="1 simulators for commands of 2 worlds"):
        rollout_each([simulator], commands.repeat(2, 1, 1, 1), r.repeat(2, 1, 1))
    options: list[tuple[dict[str, Any], str]] = [
        ({"backend": "bullet"}, "backend='bullet': choose one of 'sim', 'mujoco'"),
        ({"gradient": "none"}, "gradient='none': choose 'adjoint' or 'differences'"),
        ({"delta": 0.0}, "delta=0.0: must be finite and more than 0"),
        ({"view": "side"}, "view='side': choose one of 'sagittal', 'top'"),
        ({"num_fingers": 0}, "num_fingers=0: must be a positive integer"),
        ({"stiffness": -1.0}, "stiffness=-1.0: must be finite and more than 0"),
    ]
    for option, message in options:
        with pytest.raises(ValueError, match=message):
            PushingSimulator(BLOCK, **option)
