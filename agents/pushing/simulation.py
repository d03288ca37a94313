"""The simulator in the loop: the object's trajectory under the fingers' commands, and its gradient by them.

In place of the smoothed simulator of Aceituno et al., "A Differentiable Recipe for Learning Visual Non-Prehensile
Planar Manipulation" (equations 8 to 10), and its 40 simulations a gradient: `envs.pushing_scene` and our adjoint.

B is the number of worlds, T of knots, N of fingers; the time between knots is `KNOT_SECONDS`.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ... import sim
from ...envs.polygon import Polygon
from ...envs.pushing_scene import KNOT_SECONDS, TIMESTEP, View, damping_of, pushing_scene
from ...sim import mujoco_twin, torch_bridge
from .touch import touch

Gradient = Literal["adjoint", "differences"]
_BACKENDS = {"sim": sim, "mujoco": mujoco_twin}


class Motion(NamedTuple):
    """What happened, at the knots."""

    poses: Tensor  # (B, T, 3) of the object [m, m, rad]
    fingers: Tensor  # (B, T, N, 2) the spheres' centres [m]


class PushingSimulator:
    """One polygon, pushed by fingers that follow commands.

    A command is where the servo pulls the point at which the finger touches: p + lam / stiffness pushes with lam at p.
    The sphere is that point, moved outward by its radius along the normal of the facet nearest to `contacts` while
    the object is where it is desired. Between knots commands are interpolated linearly. At the start the fingers
    touch the object at the boundary's points nearest to the first `contacts`, and move with it.

    Args:
        polygon: the object.
        view: "sagittal" or "top", see `envs.pushing_scene`.
        num_fingers: N.
        stiffness: of the servos [N/m].
        contact_softness: distance at which contacts begin to push [m], in the place of the paper's κ.
        backend: "mujoco" simulates with MuJoCo, without gradients.
        gradient: "adjoint", or "differences" for central differences as in the paper, 4 N (T + 1) simulations.
        delta: of the differences, to either side [m].

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        polygon: Polygon,
        view: View = "sagittal",
        num_fingers: int = 2,
        stiffness: float = 500.0,
        contact_softness: float = 0.0,
        backend: Literal["sim", "mujoco"] = "sim",
        gradient: Gradient = "adjoint",
        delta: float = 1e-4,
    ) -> None:
        if backend not in _BACKENDS:
            raise ValueError(f"backend={backend!r}: choose one of {', '.join(map(repr, _BACKENDS))}")
        if gradient not in ("adjoint", "differences"):
            raise ValueError(f"gradient={gradient!r}: choose 'adjoint' or 'differences'")
        if not 0.0 < delta < np.inf:
            raise ValueError(f"delta={delta!r}: must be finite and more than 0 [m]")
        spec = pushing_scene(polygon, view, num_fingers, stiffness)
        self.model = sim.Model.from_mujoco(spec.compile(), contact_softness)
        self.polygon, self.num_fingers = polygon, num_fingers
        self.backend, self.gradient, self.delta = backend, gradient, delta
        self._lead = damping_of(stiffness) / stiffness  # [s]

    def rollout(self, commands: Tensor, r: Tensor, contacts: Tensor | None = None) -> Tensor:
        """The object's poses at the knots (B, T, 3), differentiable by `commands` and `contacts`.

        Args:
            commands: (B, T, N, 2) [m].
            r: (B, T, 3) the desired trajectory, of which the start, its velocity and the facets are taken.
            contacts: (B, T, N, 2) where the fingers are to touch [m]; by default the commands.

        Raises:
            ValueError: shapes that do not fit, or numbers that are not finite.
        """
        return self.motion(commands, r, contacts).poses

    def motion(self, commands: Tensor, r: Tensor, contacts: Tensor | None = None) -> Motion:
        """`rollout`, with the way of the fingers."""
        contacts = commands if contacts is None else contacts
        self._check(commands, r, contacts)
        desired = r.detach().double().cpu()
        start, offsets = touch(self.polygon, contacts.double().cpu(), desired)
        targets, shape = commands.double().cpu() + offsets, commands.shape[:2]
        if self.backend == "sim" and self.gradient == "differences" and torch.is_grad_enabled():
            inputs = torch.cat([targets, start[:, None]], dim=1).flatten(1)
            knots = _Differences.apply(self, desired, inputs)
        else:
            knots = self.simulate(targets, start, desired)
        knots = knots.to(commands)
        return Motion(knots[..., :3], knots[..., 3:].reshape(*shape, self.num_fingers, 2))

    def simulate(self, targets: Tensor, start: Tensor, desired: Tensor) -> Tensor:
        """Positions at the knots (B, T, 3 + 2 N) for the spheres' centres (B, T, N, 2), from (B, N, 2)."""
        first = desired[:, 0]
        velocity = (desired[:, 1] - first) / KNOT_SECONDS
        arm = start - first[:, None, :2]
        turning = velocity[:, None, 2:] * torch.stack([-arm[..., 1], arm[..., 0]], dim=-1)
        qpos = torch.cat([first, start.flatten(1)], dim=-1)
        qvel = torch.cat([velocity, (velocity[:, None, :2] + turning).flatten(1)], dim=-1)
        ctrls, steps = self._controls(targets.flatten(2)), round(KNOT_SECONDS / TIMESTEP)
        act = qpos.new_zeros(len(qpos), 0)
        if self.backend == "sim":
            return torch_bridge.rollout(self.model, qpos, qvel, act, ctrls).qpos[:, ::steps]
        state = sim.State(qpos.detach().numpy(), qvel.detach().numpy(), act.numpy())
        return torch.from_numpy(mujoco_twin.rollout(self.model, state, ctrls.detach().numpy()).qpos[:, ::steps].copy())

    def _controls(self, targets: Tensor) -> Tensor:
        """Of every time step (B, steps, 2 N): targets (B, T, 2 N) in between, ahead by what damping holds back."""
        steps = round(KNOT_SECONDS / TIMESTEP)
        way = torch.arange(steps, dtype=targets.dtype)[:, None] / steps + self._lead / KNOT_SECONDS
        change = targets[:, 1:] - targets[:, :-1]
        return (targets[:, :-1, None] + way * change[:, :, None]).flatten(1, 2)

    def _check(self, commands: Tensor, r: Tensor, contacts: Tensor) -> None:
        if commands.ndim != 4 or commands.shape[1] < 2 or commands.shape[2:] != (self.num_fingers, 2):
            expected = f"(B, T, {self.num_fingers}, 2) with T of 2 or more"
            raise ValueError(f"commands have shape {tuple(commands.shape)}, expected {expected}")
        if r.shape != (*commands.shape[:2], 3):
            raise ValueError(f"r has shape {tuple(r.shape)}, expected {(*commands.shape[:2], 3)} of these commands")
        if contacts.shape != commands.shape:
            raise ValueError(f"contacts have shape {tuple(contacts.shape)}, expected {tuple(commands.shape)}")
        for name, value in (("commands", commands), ("r", r), ("contacts", contacts)):
            if not bool(value.isfinite().all()):
                raise ValueError(f"{name}: world {int((~value.isfinite()).nonzero()[0, 0])} is not finite")


class _Differences(torch.autograd.Function):
    """Targets and starts (B, n) to positions at the knots, differentiated by central differences."""

    @staticmethod
    def forward(ctx: Any, simulator: PushingSimulator, desired: Tensor, inputs: Tensor) -> Tensor:
        ctx.simulator = simulator
        ctx.save_for_backward(desired, inputs)
        return _knots(simulator, desired, inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        desired, inputs = ctx.saved_tensors
        n, delta = inputs.shape[1], ctx.simulator.delta
        moves = delta * torch.eye(n, dtype=inputs.dtype)
        moved = (inputs[:, None] + torch.cat([moves, -moves])).flatten(0, 1)
        knots = _knots(ctx.simulator, desired.repeat_interleave(2 * n, dim=0), moved).unflatten(0, (-1, 2, n))
        rates = (knots[:, 0] - knots[:, 1]) / (2.0 * delta)  # (B, n, T, 3 + 2 N)
        return None, None, torch.einsum("bntq,btq->bn", rates, gradients[0])


def _knots(simulator: PushingSimulator, desired: Tensor, inputs: Tensor) -> Tensor:
    points = inputs.unflatten(1, (-1, simulator.num_fingers, 2))
    return simulator.simulate(points[:, :-1], points[:, -1], desired)


def rollout_each(
    simulators: Sequence[PushingSimulator], commands: Tensor, r: Tensor, contacts: Tensor | None = None
) -> Tensor:
    """`PushingSimulator.rollout` of B worlds with a polygon each: their simulators and (B, ...) give (B, T, 3).

    One after the other, since polygons differ in their numbers of pieces.
    """
    if len(simulators) != len(commands):
        raise ValueError(f"{len(simulators)} simulators for commands of {len(commands)} worlds: give one for each")
    rows = [slice(i, i + 1) for i in range(len(commands))]
    parts = [None if contacts is None else contacts[i] for i in rows]
    moved = [s.rollout(commands[i], r[i], part) for s, i, part in zip(simulators, rows, parts, strict=True)]
    return torch.cat(moved)
