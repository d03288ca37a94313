"""The relaxed rollout: a network proposes commands, contact points and forces, and the object follows the forces.

Section II of Ruppel, Hendrich and Zhang: commands, points and forces are integrated and fed back; nothing here
knows whether a force is possible. That is what the residuals are for (`residuals.py`).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .network import Network
from .rotations import apply, exp, log
from .scene import Scene, Start

LENGTH = 0.03  # unit in which the network sees and residuals are measured [m]


@dataclass(frozen=True)
class Relaxation:
    """Settings of the relaxed dynamics.

    An object on few contact points is an inverted pendulum that falls in 40 ms, so that over seconds rollouts
    would explode before anything is learned; with more inertia and damping it is slow enough to be steered by
    steps of `timestep`. In a grasp, which moves slowly, forces are nearly those of rest all the same.
    """

    timestep: float = 0.15  # [s]
    horizon: int = 20  # steps
    mass_scale: float = 12.0  # for what is not weight
    inertia_scale: float = 190.0
    damping: float = 20.0  # [1/s] of the velocity
    spin_damping: float = 20.0  # [1/s] of the angular velocity
    point_rate: float = 0.03  # unit of the contact points' rates [m/s]
    force_rate: float = 2.0  # unit of the forces' rates, in weights of the object a second


class Path(NamedTuple):
    """A relaxed rollout: T + 1 states of B samples."""

    x: Tensor  # (T + 1, B, n + 9 K)
    pos: Tensor  # (T + 1, B, 3)
    mat: Tensor  # (T + 1, B, 3, 3)
    vel: Tensor  # (T + 1, B, 3)
    omega: Tensor  # (T + 1, B, 3)
    u: Tensor  # (T + 1, B, n + 9 K) what the network proposes
    points: Tensor  # (T + 1, B, K, 3) contact points on the robot, in the world
    frame_mat: Tensor  # (T + 1, B, K, 3, 3) axes of the bodies that they are fixed to
    jacobian: Tensor  # (T + 1, B, K, 3, n) of these points by the commands
    spheres: Tensor  # (T + 1, B, M, 3)
    sphere_jacobian: Tensor  # (T + 1, B, M, 3, n)
    error: Tensor  # (T + 1, B, 3) rotation from the goal to the object
    activations: list[Tensor]  # of each layer its inputs, (T + 1, B, .)


class Relaxed:
    """Rollouts of a scene under a network's parameters."""

    def __init__(self, scene: Scene, settings: Relaxation, hidden: tuple[int, ...] = (32, 32)) -> None:
        self.scene, self.settings = scene, settings
        n, k = scene.n, scene.K
        self.n_x = n + 9 * k
        self.n_inputs = self.n_x + 3 * k + 21
        self.network = Network([self.n_inputs, *hidden, self.n_x])
        self.force_unit = scene.weight if scene.free else 1.0
        forces = torch.full((3 * k,), settings.force_rate * self.force_unit)
        self.u_scale = torch.cat([scene.rate / 3.0, torch.full((6 * k,), settings.point_rate), forces])
        scales = [torch.ones(n), torch.full((6 * k,), 1.0 / LENGTH), torch.full((3 * k,), 1.0 / self.force_unit)]
        self.x_scale = torch.cat(scales)
        self.x_middle = torch.cat([scene.start_command, scene.pair_center.flatten(), torch.zeros(6 * k)])
        h = settings.timestep
        spin_damping = settings.spin_damping
        if scene.free:
            self.inverse_mass = 1.0 / (scene.mass * settings.mass_scale)
            self.gravity = scene.gravity / settings.mass_scale
            self.inverse_inertia = torch.linalg.inv(scene.inertia * settings.inertia_scale)
        else:
            self.inverse_mass, self.gravity = 0.0, torch.zeros(3)
            self.inverse_inertia = torch.outer(scene.axis, scene.axis) / (scene.hinge_inertia * settings.mass_scale)
            spin_damping = max(spin_damping, scene.hinge_damping / scene.hinge_inertia)
        self.slow, self.slow_spin = 1.0 / (1.0 + h * settings.damping), 1.0 / (1.0 + h * spin_damping)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Commands (..., n), points on the robot and on the object and forces (..., K, 3)."""
        n, k = self.scene.n, self.scene.K
        c, p, s, f = x.split([n, 3 * k, 3 * k, 3 * k], dim=-1)
        return c, p.unflatten(-1, (k, 3)), s.unflatten(-1, (k, 3)), f.unflatten(-1, (k, 3))

    def world_inverse_inertia(self, mat: Tensor) -> Tensor:
        """(..., 3, 3) from torque to angular acceleration, for objects with axes `mat`."""
        inner = self.inverse_inertia.to(mat)
        return mat @ inner @ mat.transpose(-1, -2) if self.scene.free else inner.expand_as(mat)

    def inputs(self, state: Start, points: Tensor, error: Tensor) -> Tensor:
        """What the network sees, (B, n_inputs)."""
        _, _, on_object, _ = self.split(state.x)
        gap = state.pos[:, None] + apply(state.mat[:, None], on_object) - points
        turned = state.mat - torch.eye(3).to(state.mat)
        parts = [
            (state.x - self.x_middle.to(state.x)) * self.x_scale.to(state.x),
            gap.flatten(1) / LENGTH,
            (state.pos - self.scene.place.to(state.pos)) / LENGTH,
            turned.flatten(1),
            error,
            (state.pos - state.goal_pos) / LENGTH,
            # The goal itself, because two rotations with the same error from it are not the same to the robot.
            (state.goal_pos - self.scene.place.to(state.pos)) / LENGTH,
        ]
        return torch.cat(parts, dim=-1)

    def propose(self, layers: list[Tensor], state: Start) -> tuple[Tensor, dict[str, Any]]:
        """The network's output (B, n + 9 K) in a state, and what was computed for it."""
        scene = self.scene
        commands, on_robot, _, _ = self.split(state.x)
        links = scene.links(commands)
        frame_mat = links.mat[:, scene.pair_body]
        points = links.pos[:, scene.pair_body] + apply(frame_mat, on_robot)
        error = log(state.mat @ state.goal_mat.transpose(-1, -2))
        u, activations = self.network.forward(layers, self.inputs(state, points, error))
        spheres = links.pos[:, scene.sphere_body] + apply(links.mat[:, scene.sphere_body], scene.sphere_pos.to(points))
        kept = {
            "points": points,
            "frame_mat": frame_mat,
            "jacobian": scene.point_jacobian(points, scene.pair_mask, links),
            "spheres": spheres,
            "sphere_jacobian": scene.point_jacobian(spheres, scene.sphere_mask, links),
            "error": error,
            "activations": activations,
        }
        return u, kept

    def advance(self, state: Start, u: Tensor) -> Start:
        """The state one time step later."""
        h = self.settings.timestep
        x = state.x + h * u * self.u_scale.to(u)
        _, _, on_object, force = self.split(x)
        arm = apply(state.mat[:, None], on_object)
        torque = torch.linalg.cross(arm, force, dim=-1).sum(1)
        acceleration = self.gravity.to(u) + self.inverse_mass * force.sum(1)
        vel = (state.vel + h * acceleration) * self.slow
        omega = (state.omega + h * apply(self.world_inverse_inertia(state.mat), torque)) * self.slow_spin
        return state._replace(x=x, pos=state.pos + h * vel, mat=exp(h * omega) @ state.mat, vel=vel, omega=omega)

    def rollout(self, parameters: Tensor, start: Start) -> Path:
        """The path of B samples under the network's parameters."""
        layers, state, rows = self.network.unpack(parameters), start, []
        for t in range(self.settings.horizon + 1):
            u, kept = self.propose(layers, state)
            rows.append(
                {
                    "x": state.x,
                    "pos": state.pos,
                    "mat": state.mat,
                    "vel": state.vel,
                    "omega": state.omega,
                    "u": u,
                    **kept,
                }
            )
            if t < self.settings.horizon:
                state = self.advance(state, u)
        stacked = {name: torch.stack([row[name] for row in rows]) for name in rows[0] if name != "activations"}
        activations = [torch.stack([row["activations"][i] for row in rows]) for i in range(self.network.n_layers)]
        return Path(**stacked, activations=activations)
