"""`forward`: what the simulator knows about a state, without stepping."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .batch import for_worlds, forward_world, workspace
from .check import checked_state, floats_of
from .model import Model, State

Floats = NDArray[np.float64]


class Forward(NamedTuple):
    """Quantities of `sim.forward`; leading axes as in the state. World frame, SI units (`data.Data`)."""

    xpos: Floats  # (..., nbody, 3)
    xquat: Floats  # (..., nbody, 4)
    xmat: Floats  # (..., nbody, 9)
    xipos: Floats  # (..., nbody, 3)
    ximat: Floats  # (..., nbody, 9)
    xanchor: Floats  # (..., njnt, 3)
    xaxis: Floats  # (..., njnt, 3)
    geom_xpos: Floats  # (..., ngeom, 3)
    geom_xmat: Floats  # (..., ngeom, 9)
    site_xpos: Floats  # (..., nsite, 3)
    site_xmat: Floats  # (..., nsite, 9)
    subtree_com: Floats  # (..., nbody, 3)
    cvel: Floats  # (..., nbody, 6)
    actuator_length: Floats  # (..., nu)
    actuator_velocity: Floats  # (..., nu)
    actuator_force: Floats  # (..., nu)
    act_dot: Floats  # (..., na)
    qfrc_bias: Floats  # (..., nv)
    qfrc_passive: Floats  # (..., nv)
    qfrc_actuator: Floats  # (..., nv)
    qfrc_smooth: Floats  # (..., nv)
    qacc: Floats  # (..., nv)


def forward(model: Model, state: State, ctrl: Any) -> Forward:
    """Poses, velocities, forces and acceleration of `state` under `ctrl` (..., nu)."""
    start = checked_state(model, state)
    batch = start.qpos.shape[:-1]
    worlds = int(np.prod(batch))
    controls = floats_of("ctrl", ctrl, model.nu, batch).reshape(worlds, model.nu)
    flat = [value.reshape(worlds, value.shape[-1]) for value in start]
    with workspace(model) as data:
        found = {name: np.empty((worlds, *getattr(data, name).shape)) for name in Forward._fields}

    def work(begin: int, end: int) -> None:
        with workspace(model) as data:
            for b in range(begin, end):
                data.qpos[:], data.qvel[:], data.act[:] = (value[b] for value in flat)
                data.ctrl[:] = controls[b]
                forward_world(model, data)
                for name, value in found.items():
                    value[b] = getattr(data, name)

    for_worlds(worlds, work)
    return Forward(**{name: value.reshape(*batch, *value.shape[1:]) for name, value in found.items()})
