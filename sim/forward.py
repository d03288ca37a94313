"""`forward`: what the simulator knows about a state, without stepping."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .kernels.threads import for_worlds
from .model.arguments import checked_state, floats_of
from .model.data import Data
from .model.inputs import checked_inputs, input_rows
from .model.model import Model, State
from .model.workspaces import workspace
from .models import AnyModel, check_count, models_of, one_of, spans
from .pipeline.entry_points import entry_points
from .pipeline.worlds import load_inputs

Floats = NDArray[np.float64]


class Contact(NamedTuple):
    """Contacts of a state; in a batch the unused places have dist = inf and geom = -1."""

    dist: Floats  # (..., ncon) distance of the surfaces, negative inside [m]
    pos: Floats  # (..., ncon, 3) midway between the surfaces [m]
    frame: Floats  # (..., ncon, 9) rows: normal from the first geom to the second, two tangents
    geom: NDArray[np.int32]  # (..., ncon, 2)


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
    qfrc_constraint: Floats  # (..., nv)
    efc_force: Floats  # (..., nefcmax), zero beyond the active rows
    cfrc_ext: Floats  # (..., nbody, 6), force of the contacts on the body
    solver_niter: NDArray[np.int32]  # (...) iterations of the constraint solver
    solver_residual: Floats  # (...) |M qacc - qfrc_smooth - J' force(J qacc - aref)| / (meaninertia nv)
    converged: NDArray[np.bool_]  # (...) whether the constraint solver ended by itself, not by `iterations`
    contact: Contact


def forward(model: AnyModel, state: State, ctrl: Any, *, qfrc_applied: Any = None, xfrc_applied: Any = None) -> Forward:
    """Poses, velocities, forces and acceleration of `state` under `ctrl` (..., nu).

    Applied forces, none by default: `qfrc_applied` (..., nv) on the degrees of freedom, `xfrc_applied`
    (..., nbody, 6) on the bodies, a force [N] and a torque [N m] at the centre of mass, world frame.
    """
    models = models_of(model)
    model = one_of(models)
    start = checked_state(model, state)
    batch = start.qpos.shape[:-1]
    worlds = int(np.prod(batch))
    controls = floats_of("ctrl", ctrl, model.nu, batch).reshape(worlds, model.nu)
    flat = [value.reshape(worlds, value.shape[-1]) for value in start[:3]]
    rows = input_rows(model, checked_inputs(model, start, batch, qfrc_applied, xfrc_applied), batch)
    with workspace(model) as data:
        names = [name for name in Forward._fields if name not in ("contact", "converged", "cfrc_ext")]
        found = {name: places_for(name, worlds, getattr(data, name)) for name in names}
    found["cfrc_ext"] = np.zeros((worlds, model.nbody, 6))
    found["converged"] = np.ones(worlds, np.bool_)
    contact = no_contacts(model, worlds)

    run = entry_points(model).forward

    def run_world(own: Model, data: Data, b: int) -> None:
        data.qpos[:], data.qvel[:], data.act[:] = (value[b] for value in flat)
        data.ctrl[:] = controls[b]
        load_inputs(own, data, rows, b, 0)
        data.qacc_warmstart[:] = 0.0  # so that results do not depend on what ran before
        data.unconverged[0] = 0
        run(own, data)
        found["converged"][b] = data.unconverged[0] == 0
        for name in names:
            value = found[name]
            value[b] = getattr(data, name).reshape(value.shape[1:])
        if own.nefcmax > 0:
            found["cfrc_ext"][b] = data.cfrc_ext
            found["efc_force"][b, data.nefc[0] :] = 0.0
            _store_contacts(own, data, contact, b)

    def work(begin: int, end: int) -> None:
        with workspace(model) as data:
            for first, last, own in spans(models, begin, end):
                for b in range(first, last):
                    run_world(own, data, b)

    check_count(models, worlds)
    for_worlds(worlds, work)
    return assemble(batch, found, contact)


def places_for(name: str, worlds: int, example: NDArray[Any]) -> NDArray[Any]:
    """Zeros for the field `name` of some worlds, of the shape and type that one world has."""
    return np.zeros((worlds, *(() if name.startswith("solver_") else example.shape)), example.dtype)


def assemble(batch: tuple[int, ...], found: dict[str, NDArray[Any]], contact: Contact) -> Forward:
    """The result from arrays with one axis of worlds; without batch axes, contacts lose the unused places."""
    shaped: dict[str, Any] = {name: value.reshape((*batch, *value.shape[1:])) for name, value in found.items()}
    if batch:
        return Forward(**shaped, contact=_map(contact, lambda x: x.reshape(*batch, *x.shape[1:])))
    used = contact.geom[0, :, 0] >= 0
    return Forward(**shaped, contact=_map(contact, lambda x: x[0][used]))


def _map(contact: Contact, f: Callable[[NDArray[Any]], NDArray[Any]]) -> Contact:
    return Contact(f(contact.dist), f(contact.pos), f(contact.frame), f(contact.geom))


def no_contacts(model: Model, worlds: int) -> Contact:
    """Empty places for the contacts of some worlds."""
    n = model.nconmax
    return Contact(
        np.full((worlds, n), np.inf),
        np.zeros((worlds, n, 3)),
        np.zeros((worlds, n, 9)),
        np.full((worlds, n, 2), -1, np.int32),
    )


def _store_contacts(model: Model, data: Data, out: Contact, b: int) -> None:
    n = int(data.ncon[0])
    out.dist[b, :n], out.pos[b, :n], out.frame[b, :n] = data.con_dist[:n], data.con_pos[:n], data.con_frame[:n]
    out.geom[b, :n] = model.con_geom[data.con_pair[:n]]
