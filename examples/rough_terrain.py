"""The Ant on rough ground: a height field in place of its floor.

`RoughAnt` is the package's Ant with another model file, and heights that count from the ground. The field is one of
MuJoCo's, so gradients are exact and the policy can be tried in MuJoCo, as everywhere. In this file's folder

    gradgym-train --algo shac --env rough_terrain:RoughAnt-v0 --config rough_terrain.yaml
    gradgym-evaluate runs/shac-rough_terrain-RoughAnt-v0-0

train it and try the policy in both engines, with these settings in `rough_terrain.yaml`, the Ant's own but for a
shorter training:

    RoughAnt-v0:
      total_timesteps: 300000
      n_envs: 85
      horizon: 3
      train_env_kwargs: {integrator: Euler, contact_cost_weight: 0.0}

Another roughness is `--env-kwargs roughness:0.4`. To film random actions: `python rough_terrain.py --render rough.gif`.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import gymnasium
import imageio.v3 as imageio
import mujoco
import numpy as np
import torch
from gymnasium.envs.mujoco.mujoco_env import expand_model_path
from numpy.typing import NDArray
from torch import Tensor

from gradgym import envs
from gradgym.envs.task_state import TaskState
from gradgym.envs.tasks.ant import Ant

HALF_LENGTH, HALF_WIDTH, CELL = 30.0, 10.0, 0.5  # of the field, along x and y, and of its cells [m]
START = 1.0  # from here the ground is as rough as anywhere, from the half of it not at all [m]


def elevation(roughness: float, seed: int) -> NDArray[np.float64]:
    """Heights (rows along y, columns along x) [m]: noise of a metre's wave length, none at the start."""
    x = np.arange(-HALF_LENGTH, HALF_LENGTH + 0.5 * CELL, CELL)
    y = np.arange(-HALF_WIDTH, HALF_WIDTH + 0.5 * CELL, CELL)
    noise = np.random.default_rng(seed).normal(size=(len(y) + 2, len(x) + 2))
    around = [noise[i : i + len(y), j : j + len(x)] for i in range(3) for j in range(3)]
    smooth = np.mean(around, axis=0) * 3.0  # of standard deviation 1
    return roughness / 3.0 * smooth * np.clip(2.0 * np.hypot(*np.meshgrid(x, y)) / START - 1.0, 0.0, 1.0)


def scene(roughness: float, seed: int) -> str:
    """Gymnasium's MJCF of the Ant with a height field in place of the floor, its middle at height 0."""
    heights, spec = elevation(roughness, seed), mujoco.MjSpec.from_file(expand_model_path("ant.xml"))
    rows, columns = heights.shape
    size = [HALF_LENGTH, HALF_WIDTH, max(float(np.ptp(heights)), 1e-3), 0.5]  # the data are scaled to 0 ... 1
    spec.add_hfield(name="ground", nrow=rows, ncol=columns, size=size, userdata=heights.ravel())
    floor = spec.geom("floor")
    floor.type, floor.hfieldname, floor.pos = mujoco.mjtGeom.mjGEOM_HFIELD, "ground", [0.0, 0.0, heights.min()]
    spec.compile()
    return spec.to_xml()


class RoughAnt(Ant):
    """The Ant's observation, reward and end, its height counted from the ground below the torso.

    Args:
        roughness: three standard deviations of the ground's height [m].
        terrain_seed: other hills.
        keywords: those of the Ant.
    """

    def __init__(self, backend: str = "sim", roughness: float = 0.3, terrain_seed: int = 0, **keywords: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rough_ant.xml"
            path.write_text(scene(roughness, terrain_seed))
            super().__init__(backend, xml_file=str(path), **keywords)
        m = self.model
        floor = int(np.flatnonzero(m.geom_type == mujoco.mjtGeom.mjGEOM_HFIELD)[0])
        shape = int(m.hfield_nrow[0]), int(m.hfield_ncol[0])
        self._heights = torch.from_numpy(m.geom_pos[floor, 2] + m.hfield_size[0, 2] * m.hfield_data.reshape(shape))

    @property
    def counterpart(self) -> Any:
        """None: Gymnasium has no such task."""
        return None

    def ground(self, place: Tensor) -> Tensor:
        """Height (...) [m] of the ground at x and y (..., 2); beyond the field that of its rim."""
        rows, columns = self._heights.shape
        cells = torch.tensor([columns - 1.0, rows - 1.0])
        u = (place + torch.tensor([HALF_LENGTH, HALF_WIDTH])) / CELL
        u = torch.minimum(u.clamp(min=0.0), cells)
        cell = torch.minimum(u.detach().floor(), cells - 1.0)
        (c, r), (x, y) = cell.long().unbind(-1), (u - cell).unbind(-1)
        a, b, d, e = (self._heights[r + i, c + j] for i in range(2) for j in range(2))
        # a cell is two triangles with a common diagonal
        return torch.where(y > x, a + y * (d - a) + x * (e - d), a + x * (b - a) + y * (e - b))

    def observation(self, state: TaskState, rng: Any = None, params: None = None) -> Tensor:
        seen = super().observation(state)
        height = seen[..., self._z : self._z + 1] - self.ground(self.place(state))[..., None]
        return torch.cat([seen[..., : self._z], height, seen[..., self._z + 1 :]], dim=-1)

    @property
    def _z(self) -> int:
        """The place of the height in the observation."""
        return self.n_places - self.n_hidden

    def healthy(self, qpos: Tensor, qvel: Tensor) -> Tensor:
        # Observations hide x and y, which are then given as 0: there the ground is at 0, from which theirs counts.
        height = qpos[..., 2:3] - self.ground(qpos[..., :2])[..., None]
        return super().healthy(torch.cat([qpos[..., :2], height, qpos[..., 3:]], dim=-1), qvel)


envs.register("RoughAnt-v0", RoughAnt, max_episode_steps=200)


def episode(backend: str, actions: NDArray[np.float64], **options: Any) -> tuple[NDArray[np.float32], Any, list[Any]]:
    """Observations along one episode, the info of its last step, and frames if they are asked for."""
    quick = {"integrator": "Euler", "contact_cost_weight": 0.0, "terminate_when_unhealthy": False}
    env: Any = gymnasium.make("RoughAnt-v0", backend=backend, **quick, **options)
    env.reset(seed=0)
    seen, frames, info = [], [], {}
    for action in actions:
        obs, *_, info = env.step(action)
        seen.append(obs)
        frames += [env.render()] if env.render_mode else []
    info["contacts"] = env.unwrapped.data.ncon
    env.close()
    return np.array(seen), info, frames


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--render", metavar="FILE", help="film random actions, for example rough.gif")
    path = parser.parse_args().render
    actions = np.random.default_rng(0).uniform(-1, 1, size=(30, 8))
    (obs, ours, _), (obs_mujoco, theirs, _) = (
        episode(backend, 0.1 * actions, gradients="action") for backend in ("sim", "mujoco")
    )
    print(f"largest difference of observations from MuJoCo's: {np.abs(obs - obs_mujoco).max():.1e}")
    print(f"contacts with the ground at the end: {ours['contacts']}")
    exact, differences = (info["gradients"]["dobs_daction"] for info in (ours, theirs))
    print(f"derivatives by the action, largest {np.abs(exact).max():.2f}, ", end="")
    print(f"largest difference from MuJoCo's by differences: {np.abs(exact - differences).max():.1e}")
    if path:
        imageio.imwrite(path, episode("sim", actions, render_mode="rgb_array")[2], duration=50, loop=0)


if __name__ == "__main__":
    main()
