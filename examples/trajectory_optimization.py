"""Trajectory optimisation: motor torques as the parameters of a torch optimiser.

A catapult throws a ball through a point in the air. `torch_bridge.rollout` makes a whole path from
a sequence of controls and is one node of torch's graph, however many steps and contacts it has:
the loss of the last state reaches every control, through the flight and through the contact
between spoon and ball. Nobody tells the arm when to let go.

    python examples/trajectory_optimization.py --render throw.gif
"""

import argparse

import imageio.v3 as imageio
import numpy as np
import torch
from torch import Tensor

from gradgym import sim
from gradgym.envs.rendering import StateRenderer
from gradgym.sim import torch_bridge

MJCF = """
<mujoco>
  <option timestep="0.005"/>
  <visual><headlight ambient="0.5 0.5 0.5" diffuse="0.4 0.4 0.4"/></visual>
  <asset><texture type="skybox" builtin="gradient" rgb1="0.7 0.8 0.9" rgb2="1 1 1" width="64" height="64"/></asset>
  <worldbody>
    <light pos="0 0 3" dir="0.2 0.3 -1" directional="true"/>
    <camera name="side" pos="0.9 -3.2 1.1" xyaxes="1 0 0 0 0.1 1"/>
    <geom type="plane" size="4 4 0.1" rgba="0.45 0.5 0.55 1"/>
    <geom type="capsule" fromto="0.4 0.1 0 0.4 0.1 0.6" size="0.03" contype="0" conaffinity="0"/>
    <site name="target" pos="2 0 1" size="0.08" rgba="0.1 0.8 0.2 0.4"/>
    <body name="arm" pos="0.4 0 0.6">
      <joint name="shoulder" axis="0 1 0" damping="0.1" armature="0.05"/>
      <geom type="capsule" fromto="0 0 0 -0.4 0 0" size="0.02" mass="0.3" contype="0" conaffinity="0"/>
      <geom type="capsule" fromto="-0.44 -0.04 0 -0.56 -0.04 0" size="0.02" mass="0.02"/>
      <geom type="capsule" fromto="-0.44 0.04 0 -0.56 0.04 0" size="0.02" mass="0.02"/>
      <geom type="capsule" fromto="-0.57 -0.04 0.02 -0.57 0.04 0.02" size="0.02" mass="0.02"/>
      <geom type="capsule" fromto="-0.43 -0.04 0.02 -0.43 0.04 0.02" size="0.02" mass="0.02"/>
    </body>
    <body name="ball" pos="-0.1 0 0.65">
      <freejoint/>
      <geom type="sphere" size="0.05" mass="0.1" rgba="1 0.4 0 1"/>
    </body>
  </worldbody>
  <actuator><motor joint="shoulder" gear="10"/></actuator>
</mujoco>
"""
STEPS = 30
SUBSTEPS = 4  # one control holds for 0.02 s
ITERATIONS = 150

model = sim.Model.from_xml_string(MJCF)


def throw(controls: Tensor) -> torch_bridge.TorchState:
    """The path of 0.6 s, from rest, under controls (STEPS, 1)."""
    qpos, qvel, act = map(torch.from_numpy, model.initial_state()[:3])
    return torch_bridge.rollout(model, qpos, qvel, act, controls, SUBSTEPS)


def optimise() -> Tensor:
    """Controls after which the ball is at the target; prints its distance on the way."""
    target = torch.from_numpy(model.mj_model.site("target").pos)
    # A torque that just lifts the ball: without one it falls at once, and has left the spoon before it could be thrown.
    controls = torch.full((STEPS, 1), 0.2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([controls], lr=0.05)
    # Contact makes the loss rough: smaller and smaller steps settle where large ones would bounce.
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, ITERATIONS)
    for iteration in range(ITERATIONS + 1):
        ball = throw(controls).qpos[:, 1:4]
        miss = (ball[-1] - target).norm()
        loss = miss.square() + 1e-3 * controls.square().mean()  # of the throws that hit, a gentle one
        if iteration % 30 == 0:
            print(f"iteration {iteration:3d}: loss {loss.item():.4f}, misses the target by {miss.item():.3f} m")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([controls], 1.0)
        optimizer.step()
        schedule.step()
    return controls.detach()


def film(controls: Tensor, path: str) -> None:
    """Saves the throw at half its speed."""
    renderer = StateRenderer(model, "rgb_array", {"width": 640, "height": 400})
    frames = np.array([renderer.render(qpos) for qpos in throw(controls).qpos.numpy()])
    renderer.close()
    imageio.imwrite(path, frames, duration=40, loop=0)  # [ms] a frame; for ever


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--render", metavar="FILE", help="film the throw found, for example throw.gif")
    path = parser.parse_args().render
    controls = optimise()
    if path is not None:
        film(controls, path)


if __name__ == "__main__":
    main()
