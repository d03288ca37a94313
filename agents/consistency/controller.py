"""From a task's observations to actions: the network's proposals as commands that servos can follow."""

from typing import NamedTuple

import torch
from torch import Tensor

from .relaxed import Relaxed
from .rotations import apply, apply_inverse
from .scene import Start

_TOUCHING = 0.004  # a fingertip so near to the object touches it [m]


class Memory(NamedTuple):
    """What is kept from step to step of B episodes."""

    x: Tensor  # (B, n + 9 K) commands, contact points, forces
    turn: Tensor  # (B, 3, 3) symmetry of the object that its axes are renamed by


class Seen(NamedTuple):
    """An observation (B, n_obs) in the relaxed rollout's terms."""

    act: Tensor  # (B, n) commands of the servos
    joints: Tensor  # (B, J) in the scene's order
    pos: Tensor  # (B, 3) the object's centre of mass
    mat: Tensor  # (B, 3, 3)
    vel: Tensor  # (B, 3)
    omega: Tensor  # (B, 3)
    goal_pos: Tensor  # (B, 3)
    goal_mat: Tensor  # (B, 3, 3)


class Controller:
    """Integrates what the network proposes, and makes servos push with the proposed forces.

    A position servo of stiffness kp at a contact with Jacobian J pushes with a force f only if its command is
    ahead of the joint by J' f / kp: so far the servos' commands are ahead of the network's.
    """

    def __init__(self, relaxed: Relaxed) -> None:
        self.relaxed, self.scene = relaxed, relaxed.scene
        self.period = relaxed.scene.task.seconds_per_step

    def see(self, obs: Tensor) -> Seen:
        """Reads observations (B, n_obs) of the task."""
        scene = self.scene
        seen = scene.task.observed(obs.to(scene.dtype))
        mat = seen.rotation
        com = apply(mat, scene.com)
        if scene.free:
            omega = seen.velocity[..., 3:]
            vel = seen.velocity[..., :3] + torch.linalg.cross(omega, com, dim=-1)
        else:
            omega, vel = seen.velocity * scene.axis, torch.zeros_like(com)
        goal_mat = seen.goal_rotation @ mat
        pos = seen.position + scene.place + com
        goal_pos = seen.position + scene.place + seen.goal_position + apply(goal_mat, scene.com)
        return Seen(seen.commands, seen.joints[:, scene.observed_joints], pos, mat, vel, omega, goal_pos, goal_mat)

    def begin(self, obs: Tensor) -> Memory:
        """Of new episodes with these observations."""
        seen = self.see(obs)
        turn = self.scene.symmetry(seen.mat)
        return Memory(self.scene.contacts(seen.act, seen.pos, seen.mat @ turn), turn)

    def state(self, memory: Memory, seen: Seen) -> Start:
        """The relaxed state that stands for what is seen and kept."""
        mat, goal_mat = seen.mat @ memory.turn, seen.goal_mat @ memory.turn
        return Start(memory.x, seen.pos, mat, seen.vel, seen.omega, seen.goal_pos, goal_mat)

    @torch.no_grad()
    def act(self, layers: list[Tensor], memory: Memory, obs: Tensor) -> tuple[Tensor, Memory, Start]:
        """Actions (B, n) in [-1, 1], what is kept, and the relaxed state that was acted in."""
        relaxed, scene = self.relaxed, self.scene
        seen = self.see(obs)
        memory = memory._replace(x=self._touched(memory, seen))
        state = self.state(memory, seen)
        u, _ = relaxed.propose(layers, state)
        x = memory.x + self.period * u * relaxed.u_scale
        commands, on_robot, _, force = relaxed.split(x)
        commands = torch.minimum(torch.maximum(commands, scene.low), scene.high)
        x = torch.cat([commands, x[:, scene.n :]], dim=-1)
        links = scene.links(commands)
        points = links.pos[:, scene.pair_body] + apply(links.mat[:, scene.pair_body], on_robot)
        jacobian = scene.point_jacobian(points, scene.pair_mask, links)
        ahead = (jacobian * force[..., None]).sum((1, 2)) / scene.stiffness
        action = (commands + ahead - seen.act) / (self.period * scene.rate)
        return action.clamp(-1.0, 1.0), memory._replace(x=x), state

    def _touched(self, memory: Memory, seen: Seen) -> Tensor:
        """What is kept (B, n + 9 K), with the contact points of fingertips that touch where they really are.

        Where fingers slip or roll, integrated points would go on from where the network meant them to be.
        """
        relaxed, scene = self.relaxed, self.scene
        tips = slice(0, scene.n_tips)
        links = scene.links_of_joints(seen.joints)
        frame_pos, frame_mat = links.pos[:, scene.pair_body[tips]], links.mat[:, scene.pair_body[tips]]
        mat = (seen.mat @ memory.turn)[:, None]
        centers = frame_pos + apply(frame_mat, scene.pair_center[tips])
        on_object = scene.shape.project(apply_inverse(mat, centers - seen.pos[:, None]))
        world = seen.pos[:, None] + apply(mat, on_object)
        local = apply_inverse(frame_mat, world - frame_pos)
        on_robot = torch.stack([scene.pair_shapes[k].project(local[:, k]) for k in range(scene.n_tips)], dim=1)
        touches = (frame_pos + apply(frame_mat, on_robot) - world).norm(dim=-1, keepdim=True) < _TOUCHING
        commands, kept_on_robot, kept_on_object, force = relaxed.split(memory.x)
        on_robot = torch.cat(
            [torch.where(touches, on_robot, kept_on_robot[:, tips]), kept_on_robot[:, scene.n_tips :]], 1
        )
        on_object = torch.cat(
            [torch.where(touches, on_object, kept_on_object[:, tips]), kept_on_object[:, scene.n_tips :]], 1
        )
        return torch.cat([commands, on_robot.flatten(1), on_object.flatten(1), force.flatten(1)], dim=-1)
