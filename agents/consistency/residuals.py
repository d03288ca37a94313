"""What a relaxed rollout is judged by: the task's goal, and equation 1 of Ruppel, Hendrich and Zhang.

Every residual depends on one time step alone. `Residuals.values` evaluates them, `Residuals.blocks` their
derivatives as small matrices, from which `pull_back` makes the gradient of half their squared sum, and
`residual_kernels.residual_product` the product with J' J.
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from .relaxed import LENGTH, Path, Relaxed
from .rotations import apply, apply_inverse, left_jacobian
from .scene import Start


@dataclass(frozen=True)
class Weights:
    """Factors of the residuals, which are in units of 3 cm, of the object's weight, and of radians."""

    gap: float = 15.0  # force times distance of the two contact points
    cone: float = 3.0  # deviation of the force from the friction cone
    grip: float = 0.9  # of a fingertip's normal force below `grip_force`
    surface: float = 10.0  # distance of the contact points from the surfaces
    overlap: float = 20.0
    reach: float = 1.0  # distance of a fingertip's two contact points, whatever the force
    orientation: float = 4.0
    position: float = 1.0
    velocity: float = 1.0
    command: float = 0.05  # what the network proposes
    limit: float = 10.0  # commands beyond their range
    friction: float = 0.5  # of the cone that forces are to stay in; less than real friction, as a margin
    grip_force: float = 2.0  # weights of the object

    def between(self, other: "Weights", share: float) -> "Weights":
        """A geometric mean of each weight, with share 0 this, with share 1 the other."""
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        return Weights(**{name: a ** (1.0 - share) * b**share if a > 0.0 < b else b for name, (a, b) in pairs.items()})


class Residuals:
    """Residuals of a scene's rollouts with some weights."""

    def __init__(self, relaxed: Relaxed, weights: Weights, late: Tensor) -> None:
        """`late` (T + 1,) are factors in time of what is asked of the object's pose."""
        self.relaxed, self.weights, self.late = relaxed, weights, late

    def force_residual(self, force: Tensor, point: Tensor, is_tip: Tensor) -> Tensor:
        """Deviation from the friction cone and lack of grip (..., 4) of forces (..., 3) at points of the object.

        Both in the object's frame; in N, grip relative to the cone's weight.
        """
        w = self.weights
        normal = self.relaxed.scene.shape.normal(point)
        pressing = -(force * normal).sum(-1, keepdim=True)
        tangential = force + pressing * normal
        length = (tangential.square().sum(-1, keepdim=True) + 1e-8).sqrt()
        edge = (w.friction * tangential / length - normal) / (1.0 + w.friction**2) ** 0.5
        nearest = (force * edge).sum(-1, keepdim=True) * edge
        outside = torch.where(w.friction * length <= -pressing, force, force - nearest)
        deviation = torch.where(length <= w.friction * pressing, torch.zeros_like(force), outside)
        lack = (w.grip_force * self.relaxed.force_unit - pressing).clamp_min(0.0) * is_tip
        return torch.cat([deviation, w.grip / w.cone * lack], dim=-1)

    def surface_of_pairs(self, points: Tensor) -> Tensor:
        """Distances (..., K) of contact points (..., K, 3) in their bodies' frames from the robot's surfaces [m]."""
        shapes = self.relaxed.scene.pair_shapes
        return torch.stack([shape.distance(points[..., k, :]) for k, shape in enumerate(shapes)], dim=-1)

    def values(self, path: Path, start: Start) -> dict[str, Tensor]:
        """All residuals by name, each (T + 1, B, ...), weighted."""
        relaxed, scene, w = self.relaxed, self.relaxed.scene, self.weights
        unit, late = relaxed.force_unit, self.late.to(path.x)[:, None, None]
        commands, on_robot, on_object, force = relaxed.split(path.x)
        mat = path.mat[:, :, None]
        gap = (path.pos[:, :, None] + apply(mat, on_object) - path.points) / LENGTH
        is_tip = scene.is_tip.to(gap)[:, None].expand(*gap.shape[:-1], 1)
        radius = scene.radius.to(gap)
        local = apply_inverse(mat, path.spheres - path.pos[:, :, None])
        found = {
            "gap": w.gap * gap[..., :, None] * (force / unit)[..., None, :],
            "reach": w.reach * gap * is_tip,
            "cone": w.cone / unit * self.force_residual(apply_inverse(mat, force), on_object, is_tip),
            "surface": w.surface / LENGTH * scene.shape.distance(on_object),
            "robot_surface": w.surface / LENGTH * self.surface_of_pairs(on_robot),
            "overlap": w.overlap / LENGTH * (radius - scene.shape.distance(local)).clamp_min(0.0),
            "orientation": w.orientation * late * path.error,
            "velocity": w.velocity * late * torch.cat([path.vel / 0.1, path.omega], dim=-1),
            "command": w.command * path.u,
            "limit": w.limit
            * ((commands - scene.high.to(gap)).clamp_min(0.0) - (scene.low.to(gap) - commands).clamp_min(0.0)),
        }
        if scene.free:
            found["position"] = w.position / LENGTH * late * (path.pos - start.goal_pos)
        if scene.has_table:
            found["overlap_table"] = w.overlap / LENGTH * (radius - path.spheres[..., 2]).clamp_min(0.0)
        if scene.on_table:
            heights = path.pos[:, :, None, 2] + apply(mat, scene.vertices.to(gap))[..., 2]
            found["object_table"] = w.overlap / LENGTH * (-heights).clamp_min(0.0)
        return found

    def blocks(self, path: Path) -> dict[str, Tensor]:
        """What derivatives of the residuals are made of; for the residual `cone` per pair (4, 6), and so on."""
        relaxed, scene = self.relaxed, self.relaxed.scene
        commands, on_robot, on_object, force = relaxed.split(path.x)
        mat = path.mat[:, :, None]
        arm = apply(mat, on_object)
        centers = path.spheres - path.pos[:, :, None]
        local = apply_inverse(mat, centers)
        distance = scene.shape.distance(local)
        vertices = apply(mat, scene.vertices.to(arm)) if scene.on_table else arm[:, :, :0]
        heights = path.pos[:, :, None, 2] + vertices[..., 2]
        spheres = path.spheres[..., 2] if scene.has_table else torch.full_like(distance, torch.inf)
        radius = scene.radius.to(arm)
        beyond = (commands > scene.high.to(arm)) | (commands < scene.low.to(arm))
        is_tip = scene.is_tip.to(arm)[:, None].expand(*arm.shape[:-1], 1)
        by_force = _jacobian(
            lambda y: self.force_residual(y[..., :3], y[..., 3:], is_tip),
            torch.cat([apply_inverse(mat, force), on_object], dim=-1),
        )
        return {
            "arm": arm,
            "gap": (path.pos[:, :, None] + arm - path.points) / LENGTH,
            "unit_force": force / relaxed.force_unit,
            "force": force,
            "by_force": by_force,
            "on_object_normal": _gradient(scene.shape.distance, on_object),
            "on_robot_normal": _gradient(self.surface_of_pairs, on_robot),
            "centers": centers,
            # Where spheres overlap: outward normals of the object's surface in world axes, else zero.
            "overlap_normal": apply(mat, _gradient(scene.shape.distance, local)) * (distance < radius)[..., None],
            "overlaps_table": (spheres < radius).to(arm),
            "vertices": vertices,
            "below_table": (heights < 0.0).to(arm),
            "beyond_limit": beyond.to(arm),
            "error_by_turn": torch.linalg.inv(left_jacobian(path.error)),
        }

    def pull_back(self, path: Path, b: dict[str, Tensor], y: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Cotangents y of the residuals to those of x and u, (T + 1, B, n + 9 K), and of the object, (T + 1, B, 12).

        The object's are in world axes: position, small turn, velocity, angular velocity.
        """
        relaxed, scene, w = self.relaxed, self.relaxed.scene, self.weights
        unit, late, cross = relaxed.force_unit, self.late.to(path.x)[:, None, None], torch.linalg.cross
        mat = path.mat[:, :, None]
        force_bar = w.gap / unit * (y["gap"] * b["gap"][..., :, None]).sum(-2)
        gap_bar = w.gap / LENGTH * (y["gap"] * b["unit_force"][..., None, :]).sum(-1)
        gap_bar = gap_bar + w.reach / LENGTH * scene.is_tip.to(gap_bar)[:, None] * y["reach"]
        by_force = w.cone / unit * (b["by_force"].transpose(-1, -2) @ y["cone"][..., None]).squeeze(-1)
        turned = apply(mat, by_force[..., :3])
        force_bar = force_bar + turned
        turn_bar = -cross(b["force"], turned, dim=-1).sum(2) + cross(b["arm"], gap_bar, dim=-1).sum(2)
        on_object_bar = by_force[..., 3:] + apply_inverse(mat, gap_bar)
        on_object_bar = on_object_bar + w.surface / LENGTH * b["on_object_normal"] * y["surface"][..., None]
        on_robot_bar = w.surface / LENGTH * b["on_robot_normal"] * y["robot_surface"][..., None]
        on_robot_bar = on_robot_bar - apply_inverse(path.frame_mat, gap_bar)
        push = -w.overlap / LENGTH * b["overlap_normal"] * y["overlap"][..., None]
        pos_bar = gap_bar.sum(2) - push.sum(2)
        turn_bar = turn_bar - cross(b["centers"], push, dim=-1).sum(2)
        turn_bar = turn_bar + apply_inverse(b["error_by_turn"], w.orientation * late * y["orientation"])
        if scene.has_table:
            push = push - w.overlap / LENGTH * _upward(b["overlaps_table"] * y["overlap_table"])
        if scene.on_table:
            lift = -w.overlap / LENGTH * _upward(b["below_table"] * y["object_table"])
            pos_bar, turn_bar = pos_bar + lift.sum(2), turn_bar + cross(b["vertices"], lift, dim=-1).sum(2)
        if scene.free:
            pos_bar = pos_bar + w.position / LENGTH * late * y["position"]
        moved = w.velocity * late * y["velocity"]
        command_bar = w.limit * b["beyond_limit"] * y["limit"]
        command_bar = command_bar - apply_inverse(path.jacobian.flatten(-3, -2), gap_bar.flatten(-2))
        command_bar = command_bar + apply_inverse(path.sphere_jacobian.flatten(-3, -2), push.flatten(-2))
        parts = [command_bar, on_robot_bar.flatten(-2), on_object_bar.flatten(-2), force_bar.flatten(-2)]
        object_bar = torch.cat([pos_bar, turn_bar, moved[..., :3] / 0.1, moved[..., 3:]], dim=-1)
        return torch.cat(parts, dim=-1), object_bar, w.command * y["command"]


def _upward(z: Tensor) -> Tensor:
    zero = torch.zeros_like(z)
    return torch.stack([zero, zero, z], dim=-1)


def _jacobian(function: Any, points: Tensor) -> Tensor:
    """(..., m, n) of a function from n to m numbers at each point, by reverse mode, since m < n."""
    with torch.enable_grad():
        leaf = points.detach().requires_grad_()
        values = function(leaf)
        rows = [torch.autograd.grad(row.sum(), leaf, retain_graph=True)[0] for row in values.unbind(-1)]
    return torch.stack(rows, dim=-2)


def _gradient(function: Any, points: Tensor) -> Tensor:
    """Of a function of single points, at each of them."""
    with torch.enable_grad():
        leaf = points.detach().requires_grad_()
        (found,) = torch.autograd.grad(function(leaf).sum(), leaf)
    return found
