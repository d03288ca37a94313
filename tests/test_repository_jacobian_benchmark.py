"""Engines that read no MJCF get the same mechanism, and the benchmark of Jacobians measures the same Jacobians."""

import json
from pathlib import Path

import mujoco
import numpy as np
import one_step_jacobian
import pytest
from mechanisms import Pose, chain, describe, tree
from sides import Side

from gradgym import sim
from gradgym.envs import ASSETS

# Two joints in one body, anchors off the frames, a slide, turned frames, a welded body.
ODD = """<mujoco><worldbody>
<body pos="0.1 0.2 0.3" quat="0.8 0.1 0.5 -0.2">
  <joint axis="0 1 0" pos="0.05 0 0.1"/><joint axis="1 0 1" pos="0 0.1 0"/>
  <geom type="box" size="0.1 0.2 0.05" pos="0.1 0 0" quat="0.9 0.3 0 0"/>
  <body pos="0 0 0.2" quat="0.7 0.7 0.1 0"><joint type="slide" axis="0 0 1" pos="0.3 0 0"/>
    <geom type="capsule" size="0.04" fromto="0 0 0 0.3 0.1 0"/>
    <body pos="0.1 0 0.1" quat="0.6 0 0.8 0"><geom type="sphere" size="0.1" pos="0.2 0 0"/></body></body></body>
</worldbody></mujoco>"""
MODELS = {
    "laikago": lambda: mujoco.MjModel.from_xml_path(str(ASSETS / "laikago.xml")),
    "odd": lambda: mujoco.MjModel.from_xml_string(ODD),
    "chain": lambda: chain(4),
}


def rotation(quat: np.ndarray) -> np.ndarray:
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)


def mass_matrix(m: mujoco.MjModel, qpos: np.ndarray) -> np.ndarray:
    """Of the described links, without armature: sum over the links of J' I J.

    A joint's column is the velocity that it gives to the point at the world's origin, and the angular one.
    """
    poses, turning, moving = [Pose(np.eye(3), np.zeros(3))], [np.zeros((3, m.nv))], [np.zeros((3, m.nv))]
    matrix, at_q, at_v = np.zeros((m.nv, m.nv)), 0, 0
    for link in tree(m).links:
        parent = link["parent"] + 1
        pose = poses[parent] @ Pose(np.array(link["rotation"]), np.array(link["origin"]))
        angular, linear = turning[parent].copy(), moving[parent].copy()
        axis = pose.rotation @ np.array(link["axis"])
        if link["joint"] == "free":
            pose = Pose(rotation(qpos[at_q + 3 : at_q + 7]), qpos[at_q : at_q + 3])
            linear[:, at_v : at_v + 3], angular[:, at_v + 3 : at_v + 6] = np.eye(3), pose.rotation
            linear[:, at_v + 3 : at_v + 6] = np.cross(pose.origin, pose.rotation, axisb=0, axisc=0)
        elif link["joint"] == "hinge":
            angular[:, at_v], linear[:, at_v] = axis, np.cross(pose.origin, axis)
            quat = np.empty(4)
            mujoco.mju_axisAngle2Quat(quat, np.array(link["axis"]), qpos[at_q])
            pose = pose @ Pose(rotation(quat), np.zeros(3))
        else:
            linear[:, at_v] = axis
            pose = Pose(pose.rotation, pose.origin + axis * qpos[at_q])
        at_q, at_v = (at_q + 7, at_v + 6) if link["joint"] == "free" else (at_q + 1, at_v + 1)
        poses.append(pose)
        turning.append(angular)
        moving.append(linear)
        centre = pose @ Pose(np.eye(3), np.array(link["centre"]))
        velocity = linear + np.cross(angular, centre.origin, axisa=0, axisc=0)
        inertia = pose.rotation @ np.array(link["inertia"]) @ pose.rotation.T
        matrix += link["mass"] * velocity.T @ velocity + angular.T @ inertia @ angular
    return matrix


@pytest.mark.parametrize("name", MODELS)
def test_described_links_have_mujocos_mass_matrix(name: str) -> None:
    m = MODELS[name]()
    d, found = mujoco.MjData(m), np.empty((m.nv, m.nv))
    d.qpos[:] = np.random.default_rng(0).normal(size=m.nq)
    mujoco.mj_normalizeQuat(m, d.qpos)
    mujoco.mj_forward(m, d)
    mujoco.mj_fullM(m, d, found)
    np.testing.assert_allclose(mass_matrix(m, d.qpos), found - np.diag(m.dof_armature), atol=1e-12)


def test_described_contacts_and_spheres_touch_the_floor() -> None:
    at = one_step_jacobian.CASES["Laikago standing"]()
    described = describe(at.model, at.states, at.ctrls)
    d = mujoco.MjData(at.model)
    d.qpos[:] = at.states[0].qpos
    mujoco.mj_forward(at.model, d)
    links, carriers = tree(at.model).links, tree(at.model).carriers
    assert len(described["contacts"]) == len(described["spheres"]) == 4
    for contact, (floor, calf), sphere in zip(d.contact, described["contacts"], described["spheres"], strict=True):
        assert floor[0] == -1
        np.testing.assert_allclose(floor[2], contact.pos, atol=1e-12)
        body = carriers.index(calf[0])
        assert links[calf[0]]["joint"] == "hinge" and sphere["link"] == calf[0]
        # Joints sit at their bodies' origins in this model, so that links and bodies have one frame.
        pose = Pose(d.xmat[body].reshape(3, 3), d.xpos[body])
        np.testing.assert_allclose((pose @ Pose(np.eye(3), np.array(calf[2]))).origin, contact.pos, atol=1e-12)
        bottom = (pose @ Pose(np.eye(3), np.array(sphere["centre"]))).origin[2] - sphere["radius"]
        assert -2e-3 < bottom < 0.0


def test_pinocchio_gives_the_jacobians_that_ours_gives() -> None:
    pytest.importorskip("pinocchio")
    at = one_step_jacobian.CASES["chain of 7"]()
    model = sim.Model.from_mujoco(at.model)
    with Side("pin") as side:
        side.ask("load", name="chain", case=describe(at.model, at.states, at.ctrls))
        for (a, b), state, ctrl in zip(side.ask("jacobians", name="chain"), at.states, at.ctrls, strict=True):
            ours = sim.step_jacobian(model, state, ctrl)
            # Of hinges both have the same coordinates; velocities answer to positions by up to about 10.
            np.testing.assert_allclose(a, ours.A, atol=1e-11)
            np.testing.assert_allclose(b, ours.B, atol=1e-11)


def test_another_mechanism_is_refused() -> None:
    pytest.importorskip("pinocchio")
    at = one_step_jacobian.CASES["chain of 1"]()
    heavier = at.model.__copy__()
    with Side("pin") as side:
        assert one_step_jacobian.pinocchio_blocks("chain", at, side)
        described = describe(at.model, at.states, at.ctrls)
        heavier.body_inertia[1] *= 1.001
        other = describe(heavier, at.states, at.ctrls)
        described["links"] = other["links"]
        assert side.ask("load", name="chain", case=described) > 1e3 * one_step_jacobian.AGREEMENT


def test_jacobians_are_timed_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results.json"
    assert one_step_jacobian.MEASUREMENT.main(["--quick", "--results", str(results)]) == 0
    (row,) = json.loads(results.read_text())["rows"]
    assert {"ours", "ours, batch", "ours, VJP", "MuJoCo, forward", "MuJoCo, centred"} <= row["microseconds"].keys()
    assert all(0.1 < value < 1e5 for value in row["microseconds"].values())
    shown = capsys.readouterr().out.splitlines()[-1]
    assert shown.startswith("| chain of 7, nv 7 | 0 |")
    assert shown.count("|") == len(one_step_jacobian.COLUMNS) + 4
    assert one_step_jacobian.notes([row])
