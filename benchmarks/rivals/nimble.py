"""nimblephysics (Werling et al. 2021): steps and their analytic Jacobians, of a tree that is described in numbers.

It knows no armature. Gravity acts along -y, where its contacts work. Contacts are those of spheres with a floor.
"""

import importlib
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from sides import serve

_Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])  # our axes in its world


class Mechanism:
    """A description as a world, with its states in nimble's coordinates."""

    def __init__(self, nimble: Any, case: dict[str, Any]) -> None:
        self.nimble = nimble
        self.links = case["links"]
        self.world = self.nimble.simulation.World()
        self.world.setTimeStep(case["timestep"])
        self.world.setGravity(_Y_UP @ np.array(case["gravity"]))
        self.skeleton = self.nimble.dynamics.Skeleton("mechanism")
        bodies: list[Any] = []
        for link in self.links:
            bodies.append(self._body(link, bodies))
        for dof, damping in zip(self._dofs(), case["damping"], strict=True):
            self.skeleton.getDofByIndex(dof).setDampingCoefficient(damping)
        for sphere in case["spheres"]:
            node = bodies[sphere["link"]].createShapeNode(self.nimble.dynamics.SphereShape(sphere["radius"]))
            node.setRelativeTranslation(np.array(sphere["centre"]))
            node.createCollisionAspect()
            node.createDynamicsAspect()
        self.world.addSkeleton(self.skeleton)
        if case["spheres"]:
            self._add_floor()
        self.states = [self._state(motion) for motion in case["motions"]]
        self.next_qvel = [
            np.array(motion["qvel"]) + case["timestep"] * np.array(motion["qacc"]) for motion in case["motions"]
        ]

    def _body(self, link: dict[str, Any], bodies: list[Any]) -> Any:
        name = {"free": "Free", "hinge": "Revolute", "slide": "Prismatic"}[link["joint"]]
        create = getattr(self.skeleton, f"create{name}JointAndBodyNodePair")
        joint, body = create(bodies[link["parent"]]) if link["parent"] >= 0 else create()
        rotation, origin = np.array(link["rotation"]), np.array(link["origin"])
        if link["parent"] < 0:
            rotation, origin = _Y_UP @ rotation, _Y_UP @ origin
        joint.setTransformFromParentBodyNode(self.nimble.math.Isometry3(rotation, origin))
        if link["joint"] != "free":
            joint.setAxis(np.array(link["axis"]))
        inertia = np.array(link["inertia"])
        body.setMass(link["mass"])
        body.setLocalCOM(np.array(link["centre"]))
        body.setMomentOfInertia(*np.diag(inertia), inertia[0, 1], inertia[0, 2], inertia[1, 2])
        return body

    def _add_floor(self) -> None:
        floor = self.nimble.dynamics.Skeleton("floor")
        joint, body = floor.createWeldJointAndBodyNodePair()
        joint.setTransformFromParentBodyNode(self.nimble.math.Isometry3(np.eye(3), np.array([0.0, -0.5, 0.0])))
        node = body.createShapeNode(self.nimble.dynamics.BoxShape(np.array([100.0, 1.0, 100.0])))
        node.createCollisionAspect()
        node.createDynamicsAspect()
        body.setFrictionCoeff(1.0)
        self.world.addSkeleton(floor)

    def _dofs(self) -> list[int]:
        """Its degree of freedom for each of ours: a free joint turns first, then moves."""
        found: list[int] = []
        for link in self.links:
            begin = len(found)
            found += [begin + i for i in ((3, 4, 5, 0, 1, 2) if link["joint"] == "free" else (0,))]
        return found

    def _state(self, motion: dict[str, Any]) -> tuple[Any, Any]:
        """Positions and velocities in one vector; forces of actuators and springs."""
        dofs = self._dofs()
        count, turned = len(dofs), np.zeros(len(dofs))
        positions, velocities, forces = turned.copy(), turned.copy(), turned.copy()
        qpos, qvel = np.array(motion["qpos"]), np.array(motion["qvel"])
        velocities[dofs], forces[dofs] = qvel, motion["force"]
        at_q, at_v = 0, 0
        for link in self.links:
            if link["joint"] == "free":
                w, x, y, z = qpos[at_q + 3 : at_q + 7]
                rotation = self.nimble.math.Quaternion(w, x, y, z).to_rotation_matrix()
                positions[at_v : at_v + 3] = self.nimble.math.logMap(rotation)
                positions[at_v + 3 : at_v + 6] = qpos[at_q : at_q + 3]
                velocities[at_v + 3 : at_v + 6] = rotation.T @ qvel[at_v : at_v + 3]
                at_q, at_v = at_q + 7, at_v + 6
            else:
                positions[at_v] = qpos[at_q]
                at_q, at_v = at_q + 1, at_v + 1
        assert at_v == count
        return np.concatenate([positions, velocities]), forces

    def step(self, i: int) -> tuple[Any, Any]:
        state, forces = self.states[i]
        self.world.setState(state)
        self.skeleton.setControlForces(forces)
        snapshot = self.nimble.neural.forwardPass(self.world)
        return snapshot.getStateJacobian(self.world), snapshot.getActionJacobian(self.world)

    def deviation(self) -> float:
        """Largest difference of the next velocity to MuJoCo's without constraints, over the states; hinges only."""
        worst = 0.0
        for i, expected in enumerate(self.next_qvel):
            self.step(i)
            worst = max(worst, float(np.max(np.abs(self.skeleton.getVelocities()[self._dofs()] - expected))))
        return worst


def prepare() -> Mapping[str, Callable[..., Any]]:
    nimble: Any = importlib.import_module("nimblephysics")
    cases: dict[str, Mechanism] = {}

    def load(name: str, case: dict[str, Any]) -> dict[str, Any]:
        cases[name] = Mechanism(nimble, case)
        deviation = cases[name].deviation()
        a, b = cases[name].step(0)
        contacts = cases[name].world.getLastCollisionResult().getNumContacts()
        finite = bool(np.isfinite(a).all() and np.isfinite(b).all())
        return {"deviation": deviation, "contacts": contacts, "finite": finite}

    def block(name: str, repeats: int) -> float:
        """Mean processor time of a step with its Jacobians over all states [us]."""
        case = cases[name]
        count = len(case.states)
        begin = time.thread_time()
        for i in range(count):
            for _ in range(repeats):
                case.step(i)
        return 1e6 * (time.thread_time() - begin) / (count * repeats)

    return {"load": load, "block": block, "version": lambda: version("nimblephysics")}


serve(prepare)
