"""A task of your own: a model, what the agent sees, what it is paid for. All else follows.

`Dribble` is a driven ball that pushes another one across the floor to a target. From its one
definition come a `gymnasium.Env` and a native vector environment, analytic gradients, and the
same task stepped by MuJoCo, which here checks both motion and gradients. In this file's folder

    gradgym-train --algo shac --env custom_task:Dribble-v0 --total-timesteps 100000
    gradgym-evaluate runs/shac-custom_task-Dribble-v0-0

train it, with the default settings of agents/presets/shac.yaml, and try the policy in MuJoCo too. Settings of its
own are changes from the command line, `--hyperparams horizon:16`, or from a file, `--config my_settings.yaml`:

    Dribble-v0:
      horizon: 16
      learning_rate: lin_1e-3
"""

from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradgym import envs
from gradgym.envs.task import Task
from gradgym.envs.task_state import TaskState
from gradgym.sim import Model

MJCF = """
<mujoco>
  <option timestep="0.005"/>
  <worldbody>
    <light pos="0 0 3"/>
    <geom type="plane" size="3 3 0.1"/>
    <body name="foot" pos="-0.2 0 0.1">
      <joint name="x" type="slide" axis="1 0 0" damping="2"/>
      <joint name="y" type="slide" axis="0 1 0" damping="2"/>
      <geom type="sphere" size="0.08" mass="1" rgba="0.2 0.4 0.8 1"/>
    </body>
    <body name="ball" pos="0 0 0.1">
      <freejoint/>
      <geom type="sphere" size="0.1" mass="0.5" rgba="0.9 0.5 0.1 1"/>
    </body>
  </worldbody>
  <actuator>
    <motor joint="x" gear="10" ctrlrange="-1 1"/>
    <motor joint="y" gear="10" ctrlrange="-1 1"/>
  </actuator>
</mujoco>
"""


class Dribble(Task):
    """Positions of foot and ball in the plane, and all velocities; paid for a ball that nears (1, 0)."""

    n_substeps = 4  # time steps of the simulation in one of the environment

    def __init__(self, backend: str = "sim") -> None:
        super().__init__(Model.from_xml_string(MJCF), backend=backend)

    def initial(self, rng: Any, params: None = None) -> TaskState:
        start = self.state_at(self.model.initial_state(), len(rng))
        for row, generator in enumerate(rng):
            start.qpos[row, 1] += generator.uniform(-0.05, 0.05)
        return start

    # Both are torch over any leading batch axes: gradients come from torch, through our physics.
    def observation(self, state: TaskState, rng: Any = None, params: None = None) -> Tensor:
        return torch.cat([state.qpos[..., :4], state.qvel], dim=-1)

    def reward_terms(self, state: TaskState, action: Tensor, next_state: TaskState) -> dict[str, Tensor]:
        def miss(s: TaskState) -> Tensor:
            return (s.qpos[..., 2:4] - torch.tensor([1.0, 0.0])).norm(dim=-1)

        return {"progress": miss(state) - miss(next_state), "effort": -1e-4 * action.square().sum(-1)}


# For `gymnasium.make` and `gymnasium.make_vec`.
envs.register("Dribble-v0", Dribble, max_episode_steps=100)


def steps(backend: str, actions: NDArray[np.float64]) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float64]]]:
    """Observations (T, 12) along one episode, and the gradients of its last step."""
    env = gymnasium.make("Dribble-v0", gradients="action", backend=backend)
    env.reset(seed=0)
    results = [env.step(action) for action in actions]
    env.close()
    return np.array([obs for obs, *_ in results]), results[-1][-1]["gradients"]


def main() -> None:
    actions = np.tile([0.8, 0.1], (20, 1))  # runs into the ball and pushes on
    obs, gradients = steps("sim", actions)
    obs_mujoco, by_differences = steps("mujoco", actions)
    print(f"the ball has moved by {obs[-1, 2] - obs[0, 2]:.3f} m")
    print(f"largest difference of observations from MuJoCo's: {np.abs(obs - obs_mujoco).max():.1e}")
    print(f"reward by action, analytic:              {gradients['dreward_daction']}")
    print(f"reward by action, MuJoCo by differences: {by_differences['dreward_daction']}")
    largest = np.abs(gradients["dobs_daction"] - by_differences["dobs_daction"]).max()
    print(f"observation by action, {gradients['dobs_daction'].shape}: largest difference {largest:.1e}")

    many = gymnasium.make_vec("Dribble-v0", num_envs=64, gradients="action")  # one call steps all
    many.reset(seed=0)
    _, rewards, _, _, info = many.step(many.action_space.sample())
    print(f"64 at once: rewards {rewards.shape}, their gradients {info['gradients']['dreward_daction'].shape}")
    many.close()


if __name__ == "__main__":
    main()
