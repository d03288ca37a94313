"""What a model's step is made of: its integrator, with constraints or without, its solver, and what it does without.

Each is a part (`kernels/binding.py`), a table of kernels and what replaces them. What a model lacks is
replaced by nothing, and so never compiled.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from ..collision.box_box import collide_box_box
from ..collision.box_box_motion import box_box_motion
from ..collision.box_geoms import collide_box
from ..collision.box_motion import box_motion
from ..collision.convex import collide_convex
from ..collision.convex_motion import convex_motion
from ..collision.rim_geoms import collide_rim
from ..collision.rim_motion import rim_motion
from ..constraint.contact_adj import contact_adj
from ..constraint.contact_derivatives import clear_rates, contact_adj_by_pairs
from ..constraint.contact_wrench import contact_row_changes, contact_row_velocities
from ..constraint.equality import equality, equality_bias
from ..constraint.equality_adj import equality_adj
from ..constraint.rows_adj import clear_pushes, gather_pushes, known_velocities, row_change, row_velocity
from ..constraint.tendon_rows import tendon_friction, tendon_limits
from ..dynamics.applied import applied_adj
from ..dynamics.damping_adj import implicit_damping_adj
from ..dynamics.rnea import rne_adj, virtual_velocities
from ..dynamics.rnea_derivatives import implicit_damping_adj_by_pairs, rne_adj_by_pairs
from ..dynamics.tendon import tendon, tendon_implicit, tendon_passive, tendon_passive_adj
from ..kernels.binding import Part
from ..kernels.enums import EULER, IMPLICITFAST, PGS, RK4
from ..kernels.jit import kernel
from ..model.contact_pairs import BOXED, BOXES, CONVEX, RIMMED
from ..model.data import Data, Lanes
from ..model.model import Model
from ..solver.newton import solve_newton, solve_newton_adj
from ..solver.noslip import noslip
from ..solver.noslip_adj import contact_rows_known, noslip_adj, row_known
from ..solver.pgs import solve_pgs
from ..solver.pgs_adj import contact_row_changes_known, row_change_known, solve_pgs_adj
from .runge_kutta import rk4, rk4_adj
from .step import (
    euler,
    euler_acceleration,
    euler_acceleration_constrained,
    euler_adj,
    forward,
    forward_adj,
    forward_constrained,
    forward_constrained_adj,
    implicit_acceleration,
    implicit_acceleration_adj,
    implicit_acceleration_constrained,
    implicit_acceleration_constrained_adj,
    implicitfast,
    implicitfast_adj,
    main_solution_adj,
    multiplier,
    pull_positions,
    solve_constraints,
    solve_constraints_adj,
    step,
    step_adj,
)
from .worlds import forward_constrained_world, forward_world


@kernel
def _nothing(m: Model, d: Data) -> None:
    """In place of a part that the model lacks."""


@kernel
def _nothing_adj(m: Model, d: Data, w: Lanes) -> None:
    """The adjoint of `_nothing`."""


@kernel
def _nothing_of_one(m: Model, d: Data, index: int) -> None:
    """In place of what the model lacks for a pair of geoms, or a contact."""


INTEGRATORS = {
    EULER: Part("euler", {step: euler, step_adj: euler_adj}),
    RK4: Part("rk4", {step: rk4, step_adj: rk4_adj}),
    IMPLICITFAST: Part("implicitfast", {step: implicitfast, step_adj: implicitfast_adj}),
}
CONSTRAINED = Part(
    "constrained",
    {
        forward: forward_constrained,
        forward_adj: forward_constrained_adj,
        euler_acceleration: euler_acceleration_constrained,
        implicit_acceleration: implicit_acceleration_constrained,
        implicit_acceleration_adj: implicit_acceleration_constrained_adj,
        forward_world: forward_constrained_world,
    },
)
NEWTON = Part("newton", {solve_constraints: solve_newton, solve_constraints_adj: solve_newton_adj})
GAUSS_SEIDEL = Part(
    "pgs",
    {
        solve_constraints: solve_pgs,
        solve_constraints_adj: solve_pgs_adj,
        row_change: row_change_known,
        contact_row_changes: contact_row_changes_known,
    },
)
NOSLIP = Part(
    "noslip",
    {
        multiplier: noslip_adj,
        row_velocity: row_known,
        row_change: row_known,
        contact_row_velocities: contact_rows_known,
        contact_row_changes: contact_rows_known,
    },
)

# Whole Jacobians: many lanes, and no derivatives by other inputs.
JACOBIAN = Part(
    "jacobian",
    {
        rne_adj: rne_adj_by_pairs,
        implicit_damping_adj: implicit_damping_adj_by_pairs,
        applied_adj: _nothing_adj,
    },
)
CONTACT_JACOBIAN = Part(
    "contact_jacobian",
    {
        clear_pushes: clear_rates,
        contact_adj: contact_adj_by_pairs,
        gather_pushes: _nothing_adj,
    },
)
VELOCITY_ROWS = Part("velocity_rows", {pull_positions: _nothing_adj})
LANE_VELOCITIES = Part("lane_velocities", {known_velocities: virtual_velocities})


class Feature(NamedTuple):
    """Something that a model may do without."""

    needed: Callable[[Model], bool]
    missing: Part


def _geometry(family: int, name: str, collide: Any, motion: Any) -> Feature:
    def needed(m: Model) -> bool:
        return bool((m.con_family == family).any())

    return Feature(needed, Part(f"no_{name}", {collide: _nothing_of_one, motion: _nothing_of_one}))


FEATURES = (
    Feature(lambda m: m.nnoslip > 0, Part("no_noslip", {noslip: _nothing, main_solution_adj: _nothing_adj})),
    _geometry(BOXED, "box", collide_box, box_motion),
    _geometry(RIMMED, "rim", collide_rim, rim_motion),
    _geometry(BOXES, "boxes", collide_box_box, box_box_motion),
    _geometry(CONVEX, "convex", collide_convex, convex_motion),
    Feature(
        lambda m: m.ne > 0,
        Part("no_equality", {equality: _nothing, equality_bias: _nothing, equality_adj: _nothing_adj}),
    ),
    Feature(
        lambda m: bool(m.tendon_num.any()),
        Part(
            "no_tendon",
            {
                **dict.fromkeys((tendon, tendon_passive, tendon_implicit, tendon_friction, tendon_limits), _nothing),
                tendon_passive_adj: _nothing_adj,
            },
        ),
    ),
)


def jacobian_parts_of(model: Model) -> tuple[Part, ...]:
    """The same for a Jacobian. Solvers that know the rows' changes lane by lane have them in lanes for contacts too."""
    in_lanes = model.solver == PGS or model.nnoslip > 0
    parts = (*parts_of(model), JACOBIAN)
    if not in_lanes:
        parts += (CONTACT_JACOBIAN,)
    return (*parts, LANE_VELOCITIES) if in_lanes or model.ne > 0 else parts


def parts_of(model: Model) -> tuple[Part, ...]:
    """The parts of the model's step."""
    return _parts(
        model.integrator,
        model.nefcmax > 0,
        model.solver,
        model.nnoslip > 0,
        tuple(not feature.needed(model) for feature in FEATURES),
    )


@cache
def _parts(
    integrator: int, constrained: bool, solver: int, noslips: bool, missing: tuple[bool, ...]
) -> tuple[Part, ...]:
    chosen = [INTEGRATORS[integrator], GAUSS_SEIDEL if solver == PGS else NEWTON]
    chosen += [CONSTRAINED] if constrained else []
    chosen += [NOSLIP] if noslips else []
    return (*chosen, *(feature.missing for feature, lacks in zip(FEATURES, missing, strict=True) if lacks))
