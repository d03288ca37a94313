"""MuJoCo's enumerations that kernels branch on, as plain integers; a test holds them against MuJoCo's."""

# mjtJoint
FREE, BALL, SLIDE, HINGE = 0, 1, 2, 3
# mjtGeom
PLANE, HFIELD, SPHERE, CAPSULE, ELLIPSOID, CYLINDER, BOX, MESH = 0, 1, 2, 3, 4, 5, 6, 7
# mjtTrn
TRN_JOINT, TRN_JOINTINPARENT, TRN_TENDON = 0, 1, 3
# mjtDyn
DYN_INTEGRATOR, DYN_FILTEREXACT = 1, 3
# mjtGain and mjtBias
AFFINE = 1
# mjtEq
CONNECT, WELD, JOINT, TENDON = 0, 1, 2, 3
# mjtConstraint
EQUALITY, FRICTION_DOF, FRICTION_TENDON, LIMIT, LIMIT_TENDON = 0, 1, 2, 3, 4
CONTACT_FRICTIONLESS, CONTACT_PYRAMIDAL, CONTACT_ELLIPTIC = 5, 6, 7
# mjtCone
ELLIPTIC_CONE = 1
# mjtIntegrator
EULER, RK4, IMPLICITFAST = 0, 1, 3
# mjtSolver
PGS = 0
