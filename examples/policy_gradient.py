"""A policy gradient without an estimator: the loss of whole episodes, differentiated through the physics.

A small network swings up a pendulum of two links, whose motors are too weak to lift it straight,
and holds it there. Nothing of Gymnasium or Stable-Baselines3 is used: `torch_bridge.step` is a
torch function, so the episode of a batch of worlds is one torch graph, and `backward` gives the
exact gradient of its loss by the weights.
"""

import torch
from torch import Tensor, nn

from gradgym import sim
from gradgym.sim import torch_bridge

MJCF = """
<mujoco>
  <option timestep="0.01"/>
  <default>
    <joint axis="0 1 0" damping="0.1"/>
    <geom type="capsule" fromto="0 0 0 0 0 -0.5" size="0.03" mass="1" contype="0" conaffinity="0"/>
    <motor gear="8" ctrllimited="true" ctrlrange="-1 1"/>
  </default>
  <worldbody>
    <body>
      <joint name="shoulder"/>
      <geom/>
      <body pos="0 0 -0.5">
        <joint name="elbow"/>
        <geom/>
        <site name="tip" pos="0 0 -0.5"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="shoulder"/>
    <motor joint="elbow"/>
  </actuator>
</mujoco>
"""
WORLDS, STEPS, ITERATIONS = 16, 60, 160
SUBSTEPS = 3  # one action holds for 0.03 s
UPRIGHT = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)

model = sim.Model.from_xml_string(MJCF)


def make_policy() -> nn.Sequential:
    layers = nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2), nn.Tanh()
    nn.init.zeros_(layers[4].weight)  # begins almost at rest: wild first swings are hard to unlearn
    return nn.Sequential(*layers).double()


def episode(policy: nn.Module) -> tuple[Tensor, Tensor]:
    """Loss of one episode of all worlds, and how far each tip is from upright at its end (WORLDS,) [m]."""
    qpos, qvel = (0.1 * torch.randn(WORLDS, 2, dtype=torch.float64) for _ in range(2))
    act = qpos.new_zeros(WORLDS, 0)
    path: list[tuple[Tensor, Tensor]] = []
    for _ in range(STEPS):
        ctrl = policy(torch.cat([qpos.sin(), qpos.cos(), 0.2 * qvel], dim=-1))
        qpos, qvel, act = torch_bridge.step(model, qpos, qvel, act, ctrl, SUBSTEPS)
        path.append((qpos, qvel))
    angles, rates = (torch.stack(states) for states in zip(*path, strict=True))  # (STEPS, WORLDS, 2)
    miss = (torch_bridge.kinematics(model, angles).site_xpos[..., 0, :] - UPRIGHT).norm(dim=-1)
    cost = (miss.square() + 0.02 * rates.square().sum(-1)).mean(-1)
    weight = torch.linspace(0.0, 1.0, STEPS, dtype=torch.float64)  # what counts is where it ends up
    return (weight * cost).sum() / weight.sum(), miss[-1]


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # small tensors: more threads only cost time
    policy = make_policy()
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, ITERATIONS)
    for iteration in range(ITERATIONS + 1):
        loss, miss = episode(policy)
        optimizer.zero_grad()
        loss.backward()
        # Through a swing gradients can grow by orders of magnitude: keep the direction, bound the length.
        norm = nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if iteration % 20 == 0:
            upright = (miss < 0.2).sum().item()
            print(
                f"iteration {iteration:3d}: loss {loss.item():.3f}, gradient norm {norm.item():.1f}, "
                f"upright at the end {upright} of {WORLDS}"
            )


if __name__ == "__main__":
    main()
