"""Robots for comparisons of a GPU with the CPU: standing, sliding, falling, and in contact with themselves."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray

from gradgym import sim
from gradgym.envs import ASSETS
from gradgym.envs.tasks.cube_reorient import CubeReorient
from gradgym.envs.tasks.pendulum import NLinkPendulum

_GYMNASIUM = Path(str(gymnasium.__file__)).parent / "envs/mujoco/assets"
_SETTLING = 1.0  # seconds until a robot stands


class Scene(NamedTuple):
    """A robot, how it stands, and the controls that keep it there."""

    model: sim.Model
    qpos: NDArray[np.float64]
    act: NDArray[np.float64]
    ctrl: NDArray[np.float64]

    def starts(self, worlds: int, rng: np.random.Generator) -> sim.State:
        """States in turns: standing, sliding, falling, with random joint angles; each a little different."""
        model, kind = self.model, np.arange(worlds) % 4
        qpos = np.tile(self.qpos, (worlds, 1))
        qvel = 0.05 * rng.standard_normal((worlds, model.nv))
        if model.nv > model.njnt:  # a floating base: otherwise only the joints differ
            qvel[kind == 1, 0] += 1.0
            qpos[kind == 2, 2] += 0.1
            qvel[kind == 2, 2] -= 0.5
        hinges = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE)
        bent = np.ix_(np.flatnonzero(kind == 3), model.jnt_qposadr[hinges])
        qpos[bent] += rng.uniform(-1.0, 1.0, qpos[bent].shape)
        return sim.State(qpos, qvel, np.tile(self.act, (worlds, 1)))

    def ctrls(self, worlds: int, steps: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Controls (worlds, steps, nu) around those of standing."""
        return self.ctrl + 0.1 * rng.standard_normal((worlds, steps, self.model.nu))


def _settled(m: mujoco.MjModel, key: int, hold: Callable[[mujoco.MjData], NDArray[np.float64]] | None = None) -> Scene:
    d = mujoco.MjData(m)
    if key >= 0:
        mujoco.mj_resetDataKeyframe(m, d, key)
    for _ in range(round(_SETTLING / m.opt.timestep)):
        if hold is not None:
            d.ctrl[:] = hold(d)
        mujoco.mj_step(m, d)
    return Scene(sim.Model.from_mujoco(m), d.qpos.copy(), d.act.copy(), d.ctrl.copy())


def ant() -> Scene:
    """Gymnasium's Ant with Euler's method."""
    spec = mujoco.MjSpec.from_file(str(_GYMNASIUM / "ant.xml"))
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    return _settled(spec.compile(), -1)


def laikago() -> Scene:
    """A robot with boxes, of which legs and trunk touch one another."""
    m = mujoco.MjModel.from_xml_path(str(ASSETS / "laikago.xml"))
    stand = m.key_qpos[0, 7:]
    return _settled(m, 0, lambda d: 200.0 * (stand - d.qpos[7:]) - 4.0 * d.qvel[6:])


def humanoid() -> Scene:
    """Gymnasium's, which has fallen once it is at rest."""
    return _settled(mujoco.MjModel.from_xml_path(str(_GYMNASIUM / "humanoid.xml")), -1)


def hand() -> Scene:
    """The Shadow hand with a cube on its palm."""
    task = CubeReorient(hand="shadow")
    return _settled(task.model.mj_model, 0)


def pendulum() -> Scene:
    """Three links, without contacts."""
    model = NLinkPendulum(n_links=3).model
    return Scene(model, np.full(model.nq, 0.5), np.zeros(0), np.zeros(model.nu))


SCENES: dict[str, Callable[[], Scene]] = {
    "pendulum": pendulum,
    "Ant": ant,
    "Laikago": laikago,
    "humanoid": humanoid,
    "hand with cube": hand,
}
