"""A scene driven by mocap bodies and applied forces, and the step as a function of all its inputs."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import mujoco
import numpy as np
from derivatives import Map, moved, tangent_between
from numpy.typing import NDArray
from parity import TIGHT

from gradgym import sim

Floats = NDArray[np.float64]

# A mocap box pushes a crate on the ground. Another carries, some of it on a body that is fixed to it,
# an arm that is held at both ends, and drags a ball.
SCENE = """
<mujoco><option timestep="0.004" integrator="{integrator}"/>{tight}
  <worldbody>
    <geom type="plane" size="5 5 1"/>
    <body name="pusher" mocap="true" pos="-0.196 0.02 0.1" quat="2 0.1 0.03 0.06">
      <geom type="box" size="0.1 0.06 0.05"/></body>
    <body name="crate" pos="0 0 0.099"><freejoint/><geom type="box" size="0.1 0.12 0.1" pos="0.003 0.002 0"/></body>
    <body name="hand" mocap="true" pos="0 2 1" quat="1 0.2 0.3 0.1"><geom size="0.05" pos="0.02 0 0"/>
      <body name="wrist" pos="0.1 0.05 0" euler="20 10 0"><geom size="0.04" pos="0 0.03 0"/>
        <body name="arm" pos="0.1 0 0" euler="0 30 0" gravcomp="0.3">
          <joint name="shoulder" axis="0 1 0.2" damping="0.1"/>
          <geom type="sphere" size="0.06" pos="0.1 0.02 0"/>
          <body name="finger" pos="0.2 0 0"><joint name="knuckle" axis="0 0 1" stiffness="0.5"/>
            <geom type="sphere" size="0.05" pos="0.05 0 0.1"/></body></body></body></body>
    <body name="ball" pos="0.1 2.2 1.3"><freejoint/><geom size="0.08" pos="0.01 0 0.02"/></body>
  </worldbody>
  <equality>
    <weld body1="hand" body2="ball" anchor="0.05 0 0.1" solref="0.05 0.7" torquescale="0.6"/>
    <connect body1="wrist" body2="finger" anchor="0.3 0.1 0" solref="0.06 1"/>
  </equality>
  <actuator><position joint="knuckle" kp="2" kv="0.3"/></actuator>
</mujoco>"""


class Drive(NamedTuple):
    """All that a step depends on."""

    state: sim.State
    ctrl: Floats
    qfrc_applied: Floats
    xfrc_applied: Floats

    @property
    def forces(self) -> dict[str, Any]:
        return {"qfrc_applied": self.qfrc_applied, "xfrc_applied": self.xfrc_applied}


def scene(integrator: str = "Euler", **replaced: str) -> sim.Model:
    """The scene; `replaced` are pieces of its text."""
    text = SCENE.format(integrator=integrator, tight=TIGHT)
    for old, new in replaced.items():
        text = text.replace(old, new)
    return sim.Model.from_xml_string(text)


def drive_of(d: mujoco.MjData, forces: bool = True) -> Drive:
    state = sim.State(*(x.copy() for x in (d.qpos, d.qvel, d.act, d.mocap_pos, d.mocap_quat)))
    return Drive(state, d.ctrl.copy(), d.qfrc_applied * forces, d.xfrc_applied * forces)


def load_drive(d: mujoco.MjData, drive: Drive) -> mujoco.MjData:
    """`d` in that situation, with a cold solver."""
    state = drive.state
    d.qpos[:], d.qvel[:], d.act[:], d.ctrl[:] = state.qpos, state.qvel, state.act, drive.ctrl
    d.mocap_pos[:], d.mocap_quat[:] = state.mocap_pos, state.mocap_quat
    d.qfrc_applied[:], d.xfrc_applied[:] = drive.qfrc_applied, drive.xfrc_applied
    d.qacc_warmstart[:] = 0.0
    return d


def visited(model: sim.Model, count: int, seed: int, forces: bool = True) -> Iterator[Drive]:
    """Situations that MuJoCo comes by while the mocap bodies wander and random forces act."""
    rng, d = np.random.default_rng(seed), mujoco.MjData(model.mj_model)
    for _ in range(count):
        d.mocap_pos[:] += rng.normal(scale=0.002, size=d.mocap_pos.shape)
        d.mocap_pos[0, 0] += 0.003  # after the crate
        d.mocap_quat[:] += rng.normal(scale=0.01, size=d.mocap_quat.shape)
        d.ctrl[:] = rng.normal(size=model.nu)
        d.qfrc_applied[:] = rng.normal(scale=forces, size=model.nv)
        d.xfrc_applied[:] = rng.normal(scale=forces, size=(model.nbody, 6))
        mujoco.mj_step(model.mj_model, d, nstep=5)
        yield drive_of(d)


def sizes(model: sim.Model) -> tuple[int, ...]:
    """Tangents of state, control, mocap positions, mocap orientations, forces on joints and on bodies."""
    return 2 * model.nv + model.na, model.nu, 3 * model.nmocap, 3 * model.nmocap, model.nv, 6 * model.nbody


def parts(model: sim.Model, tangent: Floats) -> list[Floats]:
    return np.split(tangent, np.cumsum(sizes(model))[:-1])


def moved_drive(model: sim.Model, drive: Drive, tangent: Floats) -> Drive:
    """`drive` moved along a tangent vector; orientations in the body frame."""
    of_state, of_ctrl, of_pos, of_turn, of_qfrc, of_xfrc = parts(model, tangent)
    start = drive.state
    assert start.mocap_pos is not None and start.mocap_quat is not None
    quats = start.mocap_quat.copy()
    for quat, turn in zip(quats, of_turn.reshape(-1, 3), strict=True):
        mujoco.mju_quatIntegrate(quat, np.ascontiguousarray(turn), 1.0)
    state = moved(model, start, of_state)._replace(mocap_pos=start.mocap_pos + of_pos.reshape(-1, 3), mocap_quat=quats)
    return Drive(state, drive.ctrl + of_ctrl, drive.qfrc_applied + of_qfrc, drive.xfrc_applied + of_xfrc.reshape(-1, 6))


def step_map(model: sim.Model, n_steps: int = 1) -> Map:
    """`sim.step` as a function of a `Drive`."""
    return Map(
        lambda x: sim.step(model, x.state, x.ctrl, n_steps, **x.forces),
        lambda x, t: moved_drive(model, x, t),
        lambda a, b: tangent_between(model, a, b),
    )


def whole_gradient(gradient: sim.StepGradient) -> list[Floats]:
    """A gradient's parts in the order of `sizes`, each in one row."""
    assert gradient.qfrc_applied is not None and gradient.xfrc_applied is not None
    arrays = (gradient.state, gradient.ctrl, gradient.mocap_pos, gradient.mocap_quat)
    return [x.ravel() for x in (*arrays, gradient.qfrc_applied, gradient.xfrc_applied)]
