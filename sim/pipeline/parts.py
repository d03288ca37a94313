"""What a model's step is made of: its integrator, with constraints or without, its solver, and what it does without.

Each is a part (`kernels/binding.py`), a table of kernels and what replaces them; see also `features.py`.
"""

from functools import cache

from ..constraint.adhesion import contacts
from ..constraint.contact_adj import contact_adj
from ..constraint.contact_derivatives import clear_rates, contact_adj_by_pairs
from ..constraint.contact_wrench import contact_row_changes, contact_row_velocities
from ..constraint.rows_adj import clear_pushes, gather_pushes, known_velocities, row_change, row_velocity
from ..dynamics.aba import aba_factor, aba_solve, aba_solve_lanes
from ..dynamics.applied import applied_adj
from ..dynamics.damping_adj import implicit_damping_adj
from ..dynamics.implicit import gyroscopic_adj, implicit_factor, implicit_solve
from ..dynamics.implicit_full import bias_ahead_adj, implicit_full_factor, implicit_full_solve
from ..dynamics.matrix_solve import matrix_factor, matrix_solve, matrix_solve_lanes
from ..dynamics.parameters_adj import gyroscopic_parameters_adj
from ..dynamics.rnea import rne_adj, virtual_velocities
from ..dynamics.rnea_derivatives import implicit_damping_adj_by_pairs, rne_adj_by_pairs
from ..kernels.binding import Part
from ..kernels.enums import EULER, IMPLICIT, IMPLICITFAST, PGS, RK4
from ..model.model import Model
from ..solver.newton import solve_newton, solve_newton_adj
from ..solver.noslip_adj import contact_rows_known, noslip_adj, row_known
from ..solver.pgs import solve_pgs
from ..solver.pgs_adj import contact_row_changes_known, row_change_known, solve_pgs_adj
from .absent import (
    nothing,
    nothing_adj,
)
from .features import FEATURES, adheres, has_tendon_armature
from .rates import semi_implicit_with_rates, step_with_rates
from .runge_kutta import rk4, rk4_adj
from .runge_kutta_rates import rk4_with_rates
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
    multiplier,
    pull_positions,
    solve_constraints,
    solve_constraints_adj,
    step,
    step_adj,
)
from .worlds import forward_constrained_world, forward_world

INTEGRATORS = {
    EULER: Part("euler", {step: euler, step_adj: euler_adj, step_with_rates: semi_implicit_with_rates}),
    RK4: Part("rk4", {step: rk4, step_adj: rk4_adj, step_with_rates: rk4_with_rates}),
    IMPLICIT: Part(
        "implicit",
        {
            step: implicitfast,
            step_adj: implicitfast_adj,
            step_with_rates: semi_implicit_with_rates,
            implicit_factor: implicit_full_factor,
            implicit_solve: implicit_full_solve,
            gyroscopic_adj: nothing_adj,
            gyroscopic_parameters_adj: nothing_adj,
        },
    ),
    IMPLICITFAST: Part(
        "implicitfast",
        {
            step: implicitfast,
            step_adj: implicitfast_adj,
            step_with_rates: semi_implicit_with_rates,
            bias_ahead_adj: nothing_adj,
        },
    ),
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
ADHESION = Part("adhesion", {contacts: nothing})  # which `adhesion` has found before
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
MATRIX = Part("matrix", {aba_factor: matrix_factor, aba_solve: matrix_solve, aba_solve_lanes: matrix_solve_lanes})
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

# Whole Jacobians: many lanes, of velocities and activations, and no derivatives by other inputs.
JACOBIAN = Part(
    "jacobian",
    {
        implicit_damping_adj: implicit_damping_adj_by_pairs,
        pull_positions: nothing_adj,
        applied_adj: nothing_adj,
    },
)
RNE_JACOBIAN = Part("rne_jacobian", {rne_adj: rne_adj_by_pairs})
CONTACT_JACOBIAN = Part(
    "contact_jacobian",
    {
        clear_pushes: clear_rates,
        contact_adj: contact_adj_by_pairs,
        gather_pushes: nothing_adj,
    },
)
LANE_VELOCITIES = Part("lane_velocities", {known_velocities: virtual_velocities})


def jacobian_parts_of(model: Model) -> tuple[Part, ...]:
    """The same for a Jacobian: derivatives pair by pair, but for what lanes alone know: fluids, surfaces, adhesion.

    Solvers that know the rows' changes lane by lane have them in lanes for contacts too.
    """
    contacts_in_lanes = model.solver == PGS or model.nnoslip > 0 or model.nsurface > 0 or model.nadhesive > 0
    parts = (*parts_of(model), JACOBIAN)
    if not contacts_in_lanes:
        parts += (CONTACT_JACOBIAN,)
    if model.nfluid > 0:
        return parts
    return (*parts, RNE_JACOBIAN, LANE_VELOCITIES) if contacts_in_lanes or model.ne > 0 else (*parts, RNE_JACOBIAN)


def parts_of(model: Model) -> tuple[Part, ...]:
    """The parts of the model's step."""
    return _parts(
        model.integrator,
        model.nefcmax > 0,
        model.solver,
        model.nnoslip > 0,
        has_tendon_armature(model),
        adheres(model),
        tuple(not feature.needed(model) for feature in FEATURES),
    )


@cache
def _parts(
    integrator: int,
    constrained: bool,
    solver: int,
    noslips: bool,
    matrix: bool,
    adheres: bool,
    missing: tuple[bool, ...],
) -> tuple[Part, ...]:
    chosen = [INTEGRATORS[integrator], GAUSS_SEIDEL if solver == PGS else NEWTON]
    chosen += [CONSTRAINED] if constrained else []
    chosen += [NOSLIP] if noslips else []
    chosen += [MATRIX] if matrix else []
    chosen += [ADHESION] if adheres else []
    return (*chosen, *(feature.missing for feature, lacks in zip(FEATURES, missing, strict=True) if lacks))
