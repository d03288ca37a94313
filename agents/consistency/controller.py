"""From a task's observations to actions: the network's proposals as commands that servos can follow."""

from typing import NamedTuple

import torch
from torch import Tensor

from .relaxed import LENGTH, Relaxed
from .rotations import apply, apply_inverse, skew
from .scene import FLOAT, Start


import os
REST=int(os.environ.get("REST","0")); GROUND=int(os.environ.get("GROUND","0"))
import numpy as np
class Memory(NamedTuple):
    """What is kept from step to step of B episodes."""

    x: Tensor  # (B, n + 9 K) commands, contact points, forces
    turn: Tensor  # (B, 3, 3) symmetry of the object that its axes are renamed by


class Seen(NamedTuple):
    """An observation (B, n_obs) in the relaxed rollout's terms."""

    act: Tensor  # (B, n) commands of the servos
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
        seen = scene.task.observed(obs.to(FLOAT))
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
        return Seen(seen.commands, pos, mat, vel, omega, goal_pos, goal_mat)

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
        if GROUND: memory = memory._replace(x=self._ground(memory, seen, obs))
        state = self.state(memory, seen)
        u, _ = relaxed.propose(layers, state, self._real_points if GROUND == 2 else None)
        x = memory.x + self.period * u * relaxed.u_scale
        commands, on_robot, _, force = relaxed.split(x)
        commands = torch.minimum(torch.maximum(commands, scene.low), scene.high)
        x = torch.cat([commands, x[:, scene.n :]], dim=-1)
        links = scene.links(commands)
        points = links.pos[:, scene.pair_body] + apply(links.mat[:, scene.pair_body], on_robot)
        jacobian = scene.point_jacobian(points, scene.pair_mask, links)
        if REST and scene.free: force = self._at_rest(force, apply(state.mat[:, None], relaxed.split(x)[2]))
        ahead = (jacobian * force[..., None]).sum((1, 2)) / scene.stiffness
        action = (commands + ahead - seen.act) / (self.period * scene.rate)
        return action.clamp(-1.0, 1.0), memory._replace(x=x), state

    def _ground(self, memory, seen, obs):
        scene, relaxed = self.scene, self.relaxed
        q = scene.task.observed(obs.to(FLOAT)).joints[:, [int(np.where(scene.task._robot_qpos == a)[0][0]) for a in scene.qpos_of_joints]]
        links = scene.links_of_joints(q)
        c, p, s, f = relaxed.split(memory.x)
        p, s, f = p.clone(), s.clone(), f.clone()
        mat = seen.mat @ memory.turn
        fp, fm = links.pos[:, scene.pair_body], links.mat[:, scene.pair_body]
        T = scene.n_tips
        world = fp + apply(fm, p)
        # nearest points by alternation between tip centre and surface
        center = fp + apply(fm, scene.pair_center)
        so = scene.shape.project(apply_inverse(mat[:, None], center[:, :T] - seen.pos[:, None]))
        sw = seen.pos[:, None] + apply(mat[:, None], so)
        po = torch.stack([scene.pair_shapes[k].project(apply_inverse(fm[:, k], sw[:, k] - fp[:, k])) for k in range(T)], 1)
        near = ((fp[:, :T] + apply(fm[:, :T], po)) - sw).norm(dim=-1, keepdim=True) < 0.004
        s[:, :T] = torch.where(near, so, s[:, :T]); p[:, :T] = torch.where(near, po, p[:, :T])
        self._real_points = fp + apply(fm, p)
        if GROUND == 3:
            points = self._real_points
            jac = scene.point_jacobian(points, scene.pair_mask, links)[:, :T]  # B T 3 n
            tau = scene.stiffness * (seen.act - q[:, : scene.n])
            J = jac.flatten(1, 2)  # B 3T n
            fe = torch.linalg.solve(J @ J.transpose(-1, -2) + 1e-5 * torch.eye(J.shape[1]), (J @ tau[..., None]))[..., 0].unflatten(-1, (T, 3))
            f[:, :T] = torch.where(near, fe, 0 * fe)
            c = q[:, : scene.n]
        return torch.cat([c, p.flatten(1), s.flatten(1), f.flatten(1)], -1)

    def _at_rest(self, force: Tensor, arm: Tensor) -> Tensor:
        """The forces (B, K, 3) next to `force` with which the object, pushed at `arm` (B, K, 3), stays at rest.

        What accelerates the relaxed object is for its inertia, which is larger than the real one's.
        """
        scene = self.scene
        tips = slice(0, scene.n_tips)
        turning = skew(arm) / LENGTH
        wrench = torch.cat([force, apply(turning, force)], dim=-1).sum(1)
        wrench[:, :3] += scene.mass * scene.gravity
        unit = torch.eye(3).expand_as(turning[:, tips])
        grasp = torch.cat([unit, turning[:, tips]], dim=-2).transpose(1, 2).flatten(-2)  # (B, 6, 3 tips)
        gram = grasp @ grasp.transpose(-1, -2) + 1e-3 * torch.eye(6)
        change = apply_inverse(grasp, torch.linalg.solve(gram, wrench))
        return torch.cat([force[:, tips] - change.unflatten(-1, (-1, 3)), force[:, scene.n_tips :]], dim=1)
