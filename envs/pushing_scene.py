"""The scene of planar pushing: a polygon in the x-y plane, sphere fingers on servos, ground or support friction."""

import math
from typing import Literal

import mujoco
import numpy as np

from .polygon import Polygon

View = Literal["sagittal", "top"]
VIEWS: tuple[View, ...] = ("sagittal", "top")
GRAVITY = 9.81  # [m/s^2]
MASS, FINGER_MASS, FINGER_RADIUS = 1.0, 0.05, 0.004  # [kg], [kg], [m]
# From a finger's centre to the object's boundary where it starts in touch: inside a little, so that there is a contact.
TOUCHING = FINGER_RADIUS - 1e-5  # [m]
FRICTION = 1.0  # sliding, of everything
TIMESTEP, KNOT_SECONDS = 0.0025, 0.1  # [s], the latter between the poses of a desired trajectory
WORKSPACE = np.array([[-0.3, 0.3], [0.0, 0.6]])  # bounds of x and of y [m], what a frame shows
# Of the object along z [m]. Fingers move at z = 0; were that its middle, they would often touch a facet in the very
# centre, where the two triangles of which it is meet and the nearest feature is ambiguous.
_BACK, _FRONT = -0.015, 0.025
# Stiffer than MuJoCo's default, with which a finger of 50 g under 10 N sinks in by twice its radius.
_SOLREF, _SOLIMP = (0.01, 1.0), (0.99, 0.995, 0.001, 0.5, 2.0)
_GOAL_COLOR, _OBJECT_COLOR, _FINGER_COLOR = (0.2, 0.7, 0.3, 0.25), (0.3, 0.45, 0.75, 1.0), (0.85, 0.3, 0.2, 1.0)


def damping_of(stiffness: float) -> float:
    """Of a servo that is critically damped [N s/m]."""
    return 2.0 * math.sqrt(stiffness * FINGER_MASS)


def pushing_scene(
    polygon: Polygon,
    view: View = "sagittal",
    num_fingers: int = 2,
    stiffness: float = 500.0,
    integrated: bool = False,
    goals: int = 0,
) -> mujoco.MjSpec:
    """The scene; positions (x, y, angle) of the object, then (x, y) of each finger; a servo for each of the latter.

    Args:
        polygon: the object's outline; it has a mass of 1 kg, uniformly spread, and its origin at the centroid.
        view: "sagittal" with gravity along -y and the ground y = 0; "top" with dry friction of the object's joints
            as of a support under it, that of the rotation with the radius of gyration as its lever.
        num_fingers: spheres of 4 mm in radius and 50 g, which collide with the object alone and have no weight.
        stiffness: of the servos, which are critically damped [N/m].
        integrated: servos' commands are the state's `act`, and controls their rates [m/s]; two controls for each servo,
            of all the commands and then of all dampers, which with the same rate have no lag. Else controls are
            commands, ahead of what is meant by its rate times `damping_of(stiffness) / stiffness`.
        goals: number of mocap bodies "goal 0", ... in the object's shape, which touch nothing.

    Raises:
        ValueError: no such view, or a number out of its range.
    """
    if view not in VIEWS:
        raise ValueError(f"view={view!r}: choose one of {', '.join(map(repr, VIEWS))}")
    if not (isinstance(num_fingers, int) and num_fingers > 0):
        raise ValueError(f"num_fingers={num_fingers!r}: must be a positive integer")
    if not 0.0 < stiffness < math.inf:
        raise ValueError(f"stiffness={stiffness!r}: must be finite and more than 0 [N/m]")
    spec = mujoco.MjSpec()
    spec.modelname = "planar pushing"
    option = spec.option
    option.timestep, option.integrator = TIMESTEP, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone, option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0
    option.tolerance, option.ccd_tolerance = 1e-12, 1e-10
    option.gravity = [0.0, -GRAVITY if view == "sagittal" else 0.0, 0.0]
    geom = spec.default.geom
    geom.friction, geom.solref, geom.solimp = [FRICTION, 0.005, 0.0001], _SOLREF, _SOLIMP
    _add_surroundings(spec, view)
    for i, piece in enumerate(polygon.pieces):
        corners = np.concatenate([np.insert(piece, 2, z, axis=1) for z in (_BACK, _FRONT)])
        spec.add_mesh(name=f"piece {i}", uservert=corners.ravel())
    _add_object(spec, polygon, view)
    for c in range(num_fingers):
        _add_finger(spec, c, stiffness, integrated)
    if integrated:
        _add_rates(spec, num_fingers, stiffness)
    for t in range(goals):
        goal = spec.worldbody.add_body(name=f"goal {t}", mocap=True)
        _add_pieces(goal, polygon, _GOAL_COLOR, collides=False)
    return spec


def _add_surroundings(spec: mujoco.MjSpec, view: View) -> None:
    world = spec.worldbody
    light = world.add_light(pos=[0.0, 0.5, 2.0], dir=[0.0, -0.2, -1.0], type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
    light.diffuse, light.castshadow, spec.visual.headlight.diffuse = [0.4] * 3, False, [0.3] * 3
    sky = spec.add_texture(name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, width=8, height=48)
    sky.builtin, sky.rgb1, sky.rgb2 = mujoco.mjtBuiltin.mjBUILTIN_FLAT, [1.0] * 3, [1.0] * 3
    # Tall enough for the workspace, 60 cm, from where perspective is small.
    world.add_camera(name="side", pos=[0.0, 0.29, 3.0], fovy=12.2)
    if view == "sagittal":
        ground = world.add_geom(name="ground", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1.0, 0.1, 0.1])
        ground.quat = [math.sqrt(0.5), -math.sqrt(0.5), 0.0, 0.0]  # its normal, z, along y
        ground.contype, ground.conaffinity, ground.rgba = 0, 1, [0.6, 0.6, 0.6, 1.0]


def _add_object(spec: mujoco.MjSpec, polygon: Polygon, view: View) -> None:
    body = spec.worldbody.add_body(name="object", explicitinertial=True)
    inertia = MASS * polygon.inertia
    body.mass, body.inertia = MASS, [inertia] * 3  # of which that about z alone plays a part
    support = FRICTION * MASS * GRAVITY if view == "top" else 0.0
    slide, hinge = mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_HINGE
    body.add_joint(name="object x", type=slide, axis=[1, 0, 0], frictionloss=support)
    body.add_joint(name="object y", type=slide, axis=[0, 1, 0], frictionloss=support)
    lever = math.sqrt(polygon.inertia)
    body.add_joint(name="object angle", type=hinge, axis=[0, 0, 1], frictionloss=support * lever)
    _add_pieces(body, polygon, _OBJECT_COLOR, collides=True)


def _add_pieces(body: mujoco.MjsBody, polygon: Polygon, color: tuple[float, ...], collides: bool) -> None:
    for i in range(len(polygon.pieces)):
        geom = body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=f"piece {i}", rgba=color)
        geom.contype, geom.conaffinity = int(collides), 0


def _add_finger(spec: mujoco.MjSpec, number: int, stiffness: float, integrated: bool) -> None:
    name = f"finger {number}"
    body = spec.worldbody.add_body(name=name, gravcomp=1.0)
    geom = body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[FINGER_RADIUS, 0, 0], mass=FINGER_MASS)
    geom.contype, geom.conaffinity, geom.rgba = 0, 1, _FINGER_COLOR
    for axis, along in (("x", [1, 0, 0]), ("y", [0, 1, 0])):
        joint = f"{name} {axis}"
        body.add_joint(name=joint, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=along)
        servo = spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(kp=stiffness, kv=damping_of(stiffness))
        if integrated:
            servo.dyntype = mujoco.mjtDyn.mjDYN_INTEGRATOR


def _add_rates(spec: mujoco.MjSpec, num_fingers: int, stiffness: float) -> None:
    """What the commands' rates make up for in the servos' damping."""
    for c in range(num_fingers):
        for axis in "xy":
            joint = f"finger {c} {axis}"
            motor = spec.add_actuator(name=f"{joint} rate", target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
            motor.set_to_motor()
            motor.gainprm[0] = damping_of(stiffness)
