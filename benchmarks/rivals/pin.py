"""Pinocchio: derivatives of the dynamics of a tree (Carpentier and Mansard 2018) that is described in numbers.

Its functions are kernels, not steps: no collision, no friction, no inequality. Constraints are those that
the description names, and hold both ways.
"""

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sides import serve


class Mechanism:
    """A description as a model, with its states in Pinocchio's coordinates: free joints move in their own axes."""

    def __init__(self, pin: Any, case: dict[str, Any]) -> None:
        self.pin = pin
        self.timestep, self.links = case["timestep"], case["links"]
        self.model = self.pin.Model()
        self.model.gravity = self.pin.Motion(np.array(case["gravity"]), np.zeros(3))
        joints = [
            self.model.addJoint(
                link["parent"] + 1,
                self._joint(link),
                self.pin.SE3(np.array(link["rotation"]), np.array(link["origin"])),
                f"joint{i}",
            )
            for i, link in enumerate(self.links)
        ]
        for joint, link in zip(joints, self.links, strict=True):
            inertia = self.pin.Inertia(link["mass"], np.array(link["centre"]), np.array(link["inertia"]))
            self.model.appendBodyToJoint(joint, inertia, self.pin.SE3.Identity())
        self.damping = np.array(case["damping"])
        self.model.armature = np.array(case["armature"]) + self.timestep * self.damping
        self.actuation = self.timestep * np.array(case["actuation"])
        self.data = self.model.createData()
        self.qacc = [np.array(motion["qacc"]) for motion in case["motions"]]
        self.states = [self._state(motion) for motion in case["motions"]]
        self.contacts, self.contact_data = self._contacts(case["contacts"])

    def _joint(self, link: dict[str, Any]) -> Any:
        if link["joint"] == "free":
            return self.pin.JointModelFreeFlyer()
        kind = {"hinge": "Revolute", "slide": "Prismatic"}[link["joint"]]
        return getattr(self.pin, f"JointModel{kind}Unaligned")(np.array(link["axis"]))

    def _state(self, motion: dict[str, Any]) -> tuple[Any, Any, Any]:
        """q, v, and the forces with those of dampers."""
        q, v = np.array(motion["qpos"]), np.array(motion["qvel"])
        force = np.array(motion["force"]) - self.damping * v
        for link, joint in zip(self.links, list(self.model.joints)[1:], strict=True):
            if link["joint"] == "free":
                q[joint.idx_q + 3 : joint.idx_q + 7] = np.roll(q[joint.idx_q + 3 : joint.idx_q + 7], -1)
                turn = self.pin.Quaternion(q[joint.idx_q + 3 : joint.idx_q + 7]).matrix()
                v[joint.idx_v : joint.idx_v + 3] = turn.T @ v[joint.idx_v : joint.idx_v + 3]
        return q, v, force

    def _contacts(self, places: list[list[Any]]) -> tuple[Any, Any]:
        models = self.pin.StdVec_RigidConstraintModel()
        for (one, turn_one, at_one), (two, turn_two, at_two) in places:
            models.append(
                self.pin.RigidConstraintModel(
                    self.pin.ContactType.CONTACT_3D,
                    self.model,
                    two + 1,
                    self.pin.SE3(np.array(turn_two), np.array(at_two)),
                    one + 1,
                    self.pin.SE3(np.array(turn_one), np.array(at_one)),
                    self.pin.ReferenceFrame.LOCAL,
                )
            )
        data = self.pin.StdVec_RigidConstraintData()
        for model in models:
            data.append(model.createData())
        self.pin.initConstraintDynamics(self.model, self.data, models, data)
        return models, data

    def deviation(self) -> float:
        """Largest relative difference of accelerations to MuJoCo's, over the states."""
        worst = 0.0
        for (q, v, force), expected in zip(self.states, self.qacc, strict=True):
            found = self.pin.aba(self.model, self.data, q, v, force).copy()
            for link, joint in zip(self.links, list(self.model.joints)[1:], strict=True):
                if link["joint"] == "free":
                    i = joint.idx_v
                    turn = self.pin.Quaternion(q[joint.idx_q + 3 : joint.idx_q + 7]).matrix()
                    found[i : i + 3] = turn @ (found[i : i + 3] + np.cross(v[i + 3 : i + 6], v[i : i + 3]))
            worst = max(worst, float(np.max(np.abs(found - expected)) / np.max(np.abs(expected))))
        return worst

    def dynamics(self, i: int) -> None:
        self.pin.computeABADerivatives(self.model, self.data, *self.states[i])

    def constraints(self, i: int) -> None:
        self.pin.constraintDynamics(self.model, self.data, *self.states[i], self.contacts, self.contact_data)
        self.pin.computeConstraintDynamicsDerivatives(self.model, self.data, self.contacts, self.contact_data)

    def step(self, i: int) -> tuple[Any, Any]:
        """State and control Jacobians of the semi-implicit Euler step, put together from the kernel's."""
        q, v, force = self.states[i]
        h, n = self.timestep, self.model.nv
        by_q, by_v, by_force = self.pin.computeABADerivatives(self.model, self.data, q, v, force)
        v_next = v + h * self.data.ddq
        start, shift = self.pin.dIntegrate(self.model, q, h * v_next)
        a, b = np.empty((2 * n, 2 * n)), np.empty((2 * n, self.actuation.shape[1]))
        a[n:, :n] = h * by_q
        a[n:, n:] = h * (by_v - by_force * self.damping)
        a[n:, n:].flat[:: n + 1] += 1.0
        b[n:] = by_force @ self.actuation
        a[:n] = h * (shift @ a[n:])
        a[:n, :n] += start
        b[:n] = h * (shift @ b[n:])
        return a, b


def prepare() -> Mapping[str, Callable[..., Any]]:
    pin: Any = importlib.import_module("pinocchio")
    cases: dict[str, Mechanism] = {}

    def load(name: str, case: dict[str, Any]) -> float:
        cases[name] = Mechanism(pin, case)
        return cases[name].deviation()

    def block(name: str, kernel: str, repeats: int) -> float:
        """Mean processor time of a call over all states [us]."""
        run, count = getattr(cases[name], kernel), len(cases[name].states)
        begin = time.thread_time()
        for i in range(count):
            for _ in range(repeats):
                run(i)
        return 1e6 * (time.thread_time() - begin) / (count * repeats)

    def jacobians(name: str) -> list[Any]:
        return [[x.tolist() for x in cases[name].step(i)] for i in range(len(cases[name].states))]

    return {"load": load, "block": block, "jacobians": jacobians}


serve(prepare)
