"""The contacts' forces on the bodies, `cfrc_ext`, over worlds, and back (formulas: `constraint/contact_force.py`)."""

from ..constraint.contact_force import body_force_adj, contact_force
from ..constraint.contact_wrench import contact_row_changes, contact_row_count, contact_row_products
from ..constraint.row import row_dof, row_width
from ..constraint.rows_adj import constraint_adj
from ..kernels.binding import Part
from ..kernels.jit import kernel, sequence
from ..kernels.record import Floats, Ints, struct_at
from ..kernels.spatial import lanes_axpy, lanes_set, load6, store6
from ..model.data import Data, Lanes
from ..model.inputs import InputAdjoints, InputRows
from ..model.model import Model
from .step import forward_constrained, forward_constrained_adj
from .worlds import (
    add_input_cotangents,
    clear_cotangent,
    clear_input_cotangents,
    load_ctrl,
    load_inputs,
    load_world,
    store_cotangent,
)

# Both parts of y, that of g and that of the joints, have their z = C y made here: the sweeps of
# projected Gauss-Seidel, which leave z behind, know only the second.
CONTACT_FORCE = Part("contact_force", {constraint_adj: body_force_adj, contact_row_changes: contact_row_changes})


@sequence
def forward_contact_force(m: Model, d: Data) -> None:
    """Constrained acceleration and the contacts' forces on the bodies."""
    forward_constrained(m, d)
    contact_force(m, d)


@kernel
def contact_force_adj(m: Model, d: Data, w: Lanes) -> None:
    """From cfrc_ext_adj: add to the cotangents of state and inputs; after `forward_contact_force`."""
    for b in range(m.nbody):
        for i in range(6):
            for k in range(w.nlane):
                w.wvel[b, i, k] = w.cfrc_ext_adj[b, i, k]
    for v in range(m.nv):
        for k in range(w.nlane):
            w.qacc_adj[v, k] = 0.0
    for a in range(m.na):
        for k in range(w.nlane):
            w.actdot_adj[a, k] = 0.0
    for c in range(d.ncon[0]):
        first = d.con_efc[c]
        if first < 0:
            continue
        at = contact_row_products(m, d, w, c)
        for e in range(contact_row_count(m, d, c)):
            for i in range(row_width(d, first + e)):
                lanes_axpy(w.qacc_adj, row_dof(d, first + e, i), -d.efc_J[first + e, i], w.efc_z, at + e)
    forward_constrained_adj(m, d, w, 0.0)


@kernel
def cfrc_ext_worlds(
    begin: int, end: int, m: Model, models: Ints, d: Data, qpos: Floats, qvel: Floats, act: Floats, ctrl: Floats,
    inputs: InputRows, out: Floats,
) -> None:  # fmt: skip
    """Fill out (worlds, nbody, 6) for the worlds in [begin, end)."""
    for b in range(begin, end):
        m = struct_at(m, models, b)
        load_world(m, d, qpos[b], qvel[b], act[b])
        load_ctrl(m, d, ctrl[b])
        load_inputs(m, d, inputs, b, 0)
        forward_contact_force(m, d)
        for i in range(m.nbody):
            store6(out[b], i, load6(d.cfrc_ext, i))


@kernel
def cfrc_ext_adj_worlds(
    begin: int, end: int, m: Model, models: Ints, d: Data, w: Lanes,
    qpos: Floats, qvel: Floats, act: Floats, ctrl: Floats, inputs: InputRows,
    cotangent: Floats, state_adj: Floats, ctrl_adj: Floats, input_adj: InputAdjoints,
) -> None:  # fmt: skip
    """From cotangent (worlds, nbody, 6, nlane) fill state_adj (worlds, nx, nlane), ctrl_adj (worlds, nu, nlane).

    Add to `input_adj`.
    """
    for b in range(begin, end):
        m = struct_at(m, models, b)
        clear_cotangent(w)
        load_world(m, d, qpos[b], qvel[b], act[b])
        load_ctrl(m, d, ctrl[b])
        load_inputs(m, d, inputs, b, 0)
        clear_input_cotangents(m, d, w)
        forward_contact_force(m, d)
        if d.ncon[0] > 0:
            for i in range(m.nbody):
                for r in range(6):
                    for k in range(w.nlane):
                        w.cfrc_ext_adj[i, r, k] = cotangent[b, i, r, k] if i > 0 else 0.0
            contact_force_adj(m, d, w)
        store_cotangent(m, w, state_adj[b])
        lanes_set(ctrl_adj[b], w.ctrl_adj)
        add_input_cotangents(m, w, input_adj, b, 0)
