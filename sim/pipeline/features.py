"""What a model may do without, and what stands in its place then: nothing, which is never compiled."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..collision.box_box import collide_box_box
from ..collision.box_box_motion import box_box_motion
from ..collision.box_geoms import collide_box
from ..collision.box_motion import box_motion
from ..collision.convex import collide_convex
from ..collision.convex_motion import convex_motion
from ..collision.height_field import collide_height_field, height_field_motion
from ..collision.prism import prism_corner, prism_face, prism_faces, prism_support
from ..collision.rim_geoms import collide_rim
from ..collision.rim_motion import rim_motion
from ..constraint.adhesion import adhesion
from ..constraint.adhesion_adj import adhesion_adj
from ..constraint.adhesive_contact import (
    adhesion_parameter_adj,
    adhesive_pull,
    adhesive_reference,
    directions,
    given_directions,
    in_gap,
    no_push,
    out_of_reach,
    pulled,
    reference_push,
    whole,
)
from ..constraint.equality import equality, equality_bias
from ..constraint.equality_adj import equality_adj
from ..constraint.surface_velocity import surface_velocity, surface_velocity_adj
from ..constraint.tendon_rows import tendon_friction, tendon_limits
from ..constraint.tendon_rows_adj import spatial_equality_adj, spatial_row_adj
from ..dynamics.activation import (
    activation,
    activation_adj,
    activation_rate,
    activation_rate_adj,
    linear_activation_rate,
    linear_activation_rate_adj,
    present_activation,
    present_activation_adj,
)
from ..dynamics.actuation import actuator_gravcomp, arms_move, force_passes, force_passes_apart
from ..dynamics.actuator_gravcomp_adj import actuator_gravcomp_adj
from ..dynamics.actuator_law import (
    actuator_bias,
    actuator_gain,
    affine_bias,
    affine_gain,
    affine_gain_rate,
    affine_parameters_adj,
    affine_slope_changes,
    affine_slopes,
    force_slopes,
    gain_rate,
    law_parameters_adj,
    slope_changes,
)
from ..dynamics.fluid import fluid, fluid_adj, fluid_parameters_adj, fluid_taken_off
from ..dynamics.fluid_implicit import fluid_ahead, fluid_ahead_adj, fluid_block, fluid_implicit
from ..dynamics.passive import gravcomp_is_apart
from ..dynamics.spatial_tendon import spatial_tendon, spatial_transmission
from ..dynamics.spatial_tendon_adj import spatial_tendon_adj, spatial_transmission_adj
from ..dynamics.tendon import tendon, tendon_implicit, tendon_implicit_adj, tendon_passive, tendon_passive_adj
from ..dynamics.tendon_armature import tendon_bias, tendon_inertia
from ..dynamics.tendon_armature_adj import tendon_armature_adj, tendon_armature_damping_adj
from ..dynamics.tendon_range import (
    limit_tendons,
    limit_tendons_apart,
    tendon_is_clamped,
    tendon_is_clamped_apart,
)
from ..dynamics.transmission import transmission, transmission_adj
from ..kernels.binding import Part
from ..kernels.enums import DYN_MUSCLE, MUSCLE, TRN_BODY, TRN_TENDON
from ..model.contact_pairs import BOXED, BOXES, CONVEX, FIELD, RIMMED
from ..model.model import Model
from ..solver.noslip import noslip
from .absent import (
    never,
    no_corner,
    no_face,
    no_faces,
    no_support,
    nothing,
    nothing_adj,
    nothing_ahead_adj,
    nothing_of_equality_adj,
    nothing_of_one,
    nothing_of_one_adj,
)
from .step import (
    main_solution_adj,
)


def _has_muscles(m: Model) -> bool:
    of_force = (m.actuator_gaintype == MUSCLE) | (m.actuator_biastype == MUSCLE)
    return bool((of_force | (m.actuator_dyntype == DYN_MUSCLE)).any())


class Feature(NamedTuple):
    """Something that a model may do without."""

    needed: Callable[[Model], bool]
    missing: Part


def has_tendon_armature(m: Model) -> bool:
    """Whether a tendon adds to the inertia matrix."""
    return bool(m.tendon_armature.any())


def _geometry(family: int, name: str, collide: Any, motion: Any) -> Feature:
    def needed(m: Model) -> bool:
        return bool((m.con_family == family).any())

    return Feature(needed, Part(f"no_{name}", {collide: nothing_of_one, motion: nothing_of_one}))


def adheres(m: Model) -> bool:
    return bool((m.actuator_trntype == TRN_BODY).any())


def _shares_tendon_ranges(m: Model) -> bool:
    pulls = np.bincount(m.actuator_trnid[m.actuator_trntype == TRN_TENDON, 0], minlength=m.ntendon)
    return bool(((m.tendon_actfrclimited != 0) & (pulls > 1)).any())


FEATURES = (
    Feature(lambda m: m.nnoslip > 0, Part("no_noslip", {noslip: nothing, main_solution_adj: nothing_adj})),
    _geometry(BOXED, "box", collide_box, box_motion),
    _geometry(RIMMED, "rim", collide_rim, rim_motion),
    _geometry(BOXES, "boxes", collide_box_box, box_box_motion),
    _geometry(CONVEX, "convex", collide_convex, convex_motion),
    Feature(
        lambda m: bool((m.con_family == FIELD).any()),
        Part(
            "no_field",
            {
                **dict.fromkeys((collide_height_field, height_field_motion), nothing_of_one),
                **{prism_support: no_support, prism_corner: no_corner, prism_faces: no_faces, prism_face: no_face},
            },
        ),
    ),
    Feature(
        lambda m: m.ne > 0,
        Part("no_equality", {equality: nothing, equality_bias: nothing, equality_adj: nothing_adj}),
    ),
    Feature(
        lambda m: m.nshift > 0 or m.npiece > 0,
        Part(
            "no_tendon",
            {
                **dict.fromkeys((tendon, tendon_passive, tendon_implicit, tendon_friction, tendon_limits), nothing),
                tendon_passive_adj: nothing_adj,
                tendon_implicit_adj: nothing_adj,
            },
        ),
    ),
    Feature(
        lambda m: m.nadhesive > 0,
        Part(
            "no_adhesive",
            {
                adhesive_pull: nothing,
                adhesive_reference: nothing,
                out_of_reach: in_gap,
                directions: given_directions,
                pulled: whole,
                reference_push: no_push,
                adhesion_parameter_adj: nothing_of_one_adj,
            },
        ),
    ),
    Feature(
        lambda m: m.nsurface > 0,
        Part("no_surface", {surface_velocity: nothing, surface_velocity_adj: nothing_of_one_adj}),
    ),
    Feature(
        lambda m: m.nfluid > 0,
        Part(
            "no_fluid",
            {
                **dict.fromkeys((fluid, fluid_taken_off, fluid_implicit, fluid_ahead), nothing),
                **dict.fromkeys((fluid_adj, fluid_parameters_adj, fluid_ahead_adj), nothing_adj),
                fluid_block: nothing_of_one,
            },
        ),
    ),
    Feature(
        has_tendon_armature,
        Part(
            "no_tendon_armature",
            {
                tendon_inertia: nothing,
                tendon_bias: nothing,
                tendon_armature_adj: nothing_adj,
                tendon_armature_damping_adj: nothing_adj,
            },
        ),
    ),
    Feature(
        lambda m: m.npiece > 0,
        Part(
            "no_spatial",
            {
                spatial_tendon: nothing,
                spatial_tendon_adj: nothing_ahead_adj,
                tendon_bias: nothing,
                tendon_armature_adj: nothing_adj,
                spatial_transmission: nothing_of_one,
                spatial_row_adj: nothing_of_one_adj,
                spatial_transmission_adj: nothing_of_one_adj,
                spatial_equality_adj: nothing_of_equality_adj,
            },
        ),
    ),
    Feature(
        lambda m: bool(m.moment_moves.any()),
        Part(
            "no_moving_arms",
            {transmission: nothing, transmission_adj: nothing_ahead_adj, arms_move: never},
        ),
    ),
    Feature(
        _shares_tendon_ranges,
        Part(
            "no_shared_range",
            {
                limit_tendons: limit_tendons_apart,
                tendon_is_clamped: tendon_is_clamped_apart,
                force_passes: force_passes_apart,
            },
        ),
    ),
    Feature(adheres, Part("no_adhesion", {adhesion: nothing, adhesion_adj: nothing_ahead_adj})),
    Feature(
        lambda m: bool(m.dof_gravcomp.any()),
        Part(
            "no_actuator_gravcomp",
            {actuator_gravcomp: nothing, actuator_gravcomp_adj: nothing_adj, gravcomp_is_apart: never},
        ),
    ),
    Feature(
        _has_muscles,
        Part(
            "no_muscle",
            {
                actuator_gain: affine_gain,
                actuator_bias: affine_bias,
                force_slopes: affine_slopes,
                gain_rate: affine_gain_rate,
                slope_changes: affine_slope_changes,
                law_parameters_adj: affine_parameters_adj,
                activation_rate: linear_activation_rate,
                activation_rate_adj: linear_activation_rate_adj,
            },
        ),
    ),
    Feature(
        lambda m: bool(m.actuator_actearly.any()),
        Part("no_early", {activation: present_activation, activation_adj: present_activation_adj}),
    ),
)
