"""The integers that kernels branch on are MuJoCo's."""

import mujoco
import pytest

from gradgym.sim.kernels import enums

SOURCES = {
    "mjtJoint": ("mjJNT_", ("FREE", "BALL", "SLIDE", "HINGE")),
    "mjtGeom": ("mjGEOM_", ("PLANE", "HFIELD", "SPHERE", "CAPSULE", "ELLIPSOID", "CYLINDER", "BOX", "MESH")),
    "mjtTrn": ("mj", ("TRN_JOINT", "TRN_JOINTINPARENT", "TRN_SLIDERCRANK", "TRN_TENDON", "TRN_SITE", "TRN_BODY")),
    "mjtDyn": ("mj", ("DYN_INTEGRATOR", "DYN_FILTEREXACT", "DYN_MUSCLE")),
    "mjtGain": ("mjGAIN_", ("FIXED", "AFFINE", "MUSCLE")),
    "mjtBias": ("mjBIAS_", ("AFFINE", "MUSCLE")),
    "mjtEq": ("mjEQ_", ("CONNECT", "WELD", "JOINT", "TENDON")),
    "mjtConstraint": ("mjCNSTR_", ("EQUALITY", "FRICTION_DOF", "FRICTION_TENDON", "CONTACT_FRICTIONLESS")),
    "mjtIntegrator": ("mjINT_", ("EULER", "RK4", "IMPLICIT", "IMPLICITFAST")),
    "mjtSolver": ("mjSOL_", ("PGS",)),
}
OTHER_NAMES = {
    "LIMIT": mujoco.mjtConstraint.mjCNSTR_LIMIT_JOINT,
    "LIMIT_TENDON": mujoco.mjtConstraint.mjCNSTR_LIMIT_TENDON,
    "CONTACT_PYRAMIDAL": mujoco.mjtConstraint.mjCNSTR_CONTACT_PYRAMIDAL,
    "CONTACT_ELLIPTIC": mujoco.mjtConstraint.mjCNSTR_CONTACT_ELLIPTIC,
    "ELLIPTIC_CONE": mujoco.mjtCone.mjCONE_ELLIPTIC,
}


@pytest.mark.parametrize("kind", SOURCES)
def test_enums_are_mujocos(kind: str) -> None:
    prefix, names = SOURCES[kind]
    for name in names:
        assert getattr(enums, name) == int(getattr(getattr(mujoco, kind), prefix + name)), name


def test_every_constant_is_compared() -> None:
    compared = {name for _, names in SOURCES.values() for name in names} | set(OTHER_NAMES)
    assert {name for name in vars(enums) if name.isupper()} == compared
    for name, value in OTHER_NAMES.items():
        assert getattr(enums, name) == int(value), name
