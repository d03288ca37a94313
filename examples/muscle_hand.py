"""A hand of bones, tendons and muscles points with its index finger: excitations found by gradients.

MyoSuite's hand has 23 joints and 39 muscles, whose tendons wrap around the bones, most of them across several
joints: no muscle moves one joint alone. The parameters are the excitations of all muscles in each twentieth of a
second; one call gives the derivative of the pose at the end by all of them. MuJoCo plays what was found.

    pip install myo_sim --no-deps    # the model; it asks for an older MuJoCo than it needs
    python examples/muscle_hand.py --render hand.png
"""

import argparse
import sys

import imageio.v3 as imageio
import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradgym import sim
from gradgym.sim import torch_bridge

try:
    import myo_sim
except ImportError:
    sys.exit("examples/muscle_hand.py: no module 'myo_sim', which has the hand; pip install myo_sim --no-deps")

CONTROLS, SUBSTEPS = 10, 25  # of 0.05 s each
HELD = 3  # states at the end in which the pose counts
ITERATIONS = 120

mj_model = myo_sim.load_model("myohand_r")
model = sim.Model.from_mujoco(mj_model)


def target() -> Tensor:
    """Joint positions (nq,) [rad] of a hand that points: the index finger straight, the others in the fist."""
    pose = torch.zeros(model.nq, dtype=torch.float64)
    for finger in "345":
        for joint, angle in (("mcp", 1.0), ("pm", 1.2), ("md", 0.6)):
            pose[mj_model.joint(f"{joint}{finger}_flexion_r").qposadr[0]] = angle
    return pose


def move(excitations: Tensor) -> torch_bridge.TorchState:
    """The path from the model's initial pose, at rest, under excitations (CONTROLS, nu)."""
    qpos, qvel, act = map(torch.from_numpy, model.initial_state()[:3])
    return torch_bridge.rollout(model, qpos, qvel, act, excitations, SUBSTEPS)


def optimise() -> NDArray[np.float64]:
    """Excitations (CONTROLS, nu) after which the hand points; prints how far the joints are from it on the way."""
    goal = target()
    levels = torch.full((CONTROLS, model.nu), -2.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([levels], lr=0.15)
    for iteration in range(ITERATIONS + 1):
        excitations = levels.sigmoid()
        path = move(excitations)
        miss = path.qpos[-HELD:] - goal
        loss = miss.square().mean() + 1e-4 * path.qvel[-HELD:].square().mean() + 1e-3 * excitations.square().mean()
        if iteration % 20 == 0:
            print(f"iteration {iteration:3d}: joints are {np.degrees(rms(miss.detach().numpy())):.1f} degrees off")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return levels.detach().sigmoid().numpy()


def rms(x: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def play(excitations: NDArray[np.float64]) -> mujoco.MjData:
    """MuJoCo's end of the same movement."""
    data = mujoco.MjData(mj_model)
    for ctrl in excitations:
        data.ctrl[:] = ctrl
        mujoco.mj_step(mj_model, data, nstep=SUBSTEPS)
    return data


def picture(data: mujoco.MjData) -> NDArray[np.uint8]:
    """The hand from the side of its thumb."""
    mujoco.mj_forward(mj_model, data)
    camera = mujoco.MjvCamera()
    camera.lookat[:] = data.geom("proxph3_coll_r").xpos
    camera.distance, camera.azimuth, camera.elevation = 0.3, 20.0, -20.0
    with mujoco.Renderer(mj_model, 400, 500) as renderer:
        renderer.update_scene(data, camera)
        return renderer.render()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--render", metavar="FILE", help="picture the hand before and after, for example hand.png")
    path = parser.parse_args().render
    data = play(optimise())
    print(f"in MuJoCo the joints end {np.degrees(rms(data.qpos - target().numpy())):.1f} degrees off")
    if path is not None:
        imageio.imwrite(path, np.hstack([picture(mujoco.MjData(mj_model)), picture(data)]))


if __name__ == "__main__":
    main()
