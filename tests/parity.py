"""One fixture for parity: MuJoCo and the simulator in the same state, compared stage by stage.

Workspaces are filled with NaN before the kernels run, so that a value that nobody computes, or
that is left over from an earlier call, cannot agree by chance.
"""

from pathlib import Path

import gymnasium
import gymnasium_robotics
import mujoco
import numpy as np
from numpy.typing import NDArray

from gradgym import sim
from gradgym.sim.dynamics.crba import crb
from gradgym.sim.kernels.record import Struct, kept_with
from gradgym.sim.model.data import Data
from gradgym.sim.model.model import tangent_size
from gradgym.sim.model.workspaces import adjoint_workspace, rates_workspace, workspace
from gradgym.sim.pipeline.entry_points import entry_points
from gradgym.sim.pipeline.worlds import forward_world
from gradgym.sim.single_world import SingleWorld

Floats = NDArray[np.float64]

GYMNASIUM_ASSETS = Path(str(gymnasium.__file__)).parent / "envs/mujoco/assets"
HAND_ASSETS = Path(str(gymnasium_robotics.__file__)).parent / "envs/assets/hand"
INTEGRATORS = ("Euler", "RK4", "implicitfast")
_INTEGRATOR_CODE = {
    "Euler": mujoco.mjtIntegrator.mjINT_EULER,
    "RK4": mujoco.mjtIntegrator.mjINT_RK4,
    "implicitfast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
    "implicit": mujoco.mjtIntegrator.mjINT_IMPLICIT,
}

# Largest error of a stage, relative to the stage's largest entry. The bound is 1e-9; these
# are what double precision leaves after the stage's arithmetic, times about ten.
POSES = 1e-13  # a chain of at most 25 frames, each a few roundings of numbers of order one
INERTIAS = 1e-12  # differences of positions squared
VELOCITIES = 1e-12  # products of the two above
FORCES = 1e-11  # sums over subtrees in which large terms cancel
ACCELERATION = 1e-9  # ours is O(n), MuJoCo's a factorised matrix: both lose its condition number
TOLERANCE = {
    "xpos": POSES,
    "xquat": POSES,
    "xmat": POSES,
    "xipos": POSES,
    "ximat": POSES,
    "xanchor": POSES,
    "xaxis": POSES,
    "geom_xpos": POSES,
    "geom_xmat": POSES,
    "site_xpos": POSES,
    "site_xmat": POSES,
    "subtree_com": POSES,
    "cinert": INERTIAS,
    "cdof": INERTIAS,
    "cvel": VELOCITIES,
    "cdof_dot": VELOCITIES,
    "qM": INERTIAS,
    "qfrc_bias": FORCES,
    "qfrc_gravcomp": FORCES,
    "qfrc_passive": FORCES,
    "actuator_length": VELOCITIES,
    "actuator_velocity": VELOCITIES,
    "actuator_force": FORCES,
    "act_dot": FORCES,
    "qfrc_actuator": FORCES,
    "qfrc_smooth": FORCES,
    "qacc": ACCELERATION,
}
STEP_TOLERANCE = 1e-9


def load(source: Path | str, integrator: str | None = None, timestep: float | None = None) -> sim.Model:
    """A model from a file or from MJCF text, constraints disabled by MuJoCo's own flag."""
    text = isinstance(source, str)
    spec = mujoco.MjSpec.from_string(source) if text else mujoco.MjSpec.from_file(str(source))
    spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONSTRAINT)
    if integrator is not None:
        spec.option.integrator = int(_INTEGRATOR_CODE[integrator])
    if timestep is not None:
        spec.option.timestep = timestep
    return sim.Model.from_mujoco(spec)


def random_state(model: sim.Model, seed: int, speed: float = 1.0) -> tuple[sim.State, Floats]:
    """Any configuration, velocities of size `speed`, activations and controls of order one."""
    rng = np.random.default_rng(seed)
    qpos = model.qpos0.copy()
    mujoco.mj_integratePos(model.mj_model, qpos, rng.normal(size=model.nv), 1.0)
    state = sim.State(qpos, rng.normal(scale=speed, size=model.nv), rng.normal(scale=0.3, size=model.na))
    return state, rng.normal(scale=0.7, size=model.nu)


def fill_with_nan(workspace: Struct) -> None:
    """Overwrite all arrays, except the world body's rows: constants that nobody computes."""
    for name, field in workspace.fields.items():
        value = getattr(workspace, name)
        if isinstance(value, np.ndarray) and value.dtype == np.float64 and not name.endswith("_adj"):
            value[1 if field.shape[0] == "nbody" else 0 :] = np.nan


def spoil_workspaces(model: sim.Model, *lanes: tuple[int, bool]) -> None:
    """Fill the workspaces that the next call on `model` will use, adjoint ones of (lanes, parameters) too."""
    free = kept_with(model, "free single worlds", list)
    if not free:
        free.append(SingleWorld(model, free))
    sweeps = [sweep for world in free for sweep in (world.sweep_forth(model, True), world.sweep_back(model, 1))]
    for space in [world.data for world in free] + [space for sweep in sweeps for space in sweep.workspaces]:
        fill_with_nan(space)
    with workspace(model) as data, rates_workspace(model, tangent_size(model) + model.nu) as rates:
        fill_with_nan(data)
        fill_with_nan(rates)
    for nlane, with_params in lanes:
        with adjoint_workspace(model, nlane, with_params) as adjoint:
            fill_with_nan(adjoint)


def mujoco_data(model: sim.Model, state: sim.State, ctrl: Floats) -> mujoco.MjData:
    data = mujoco.MjData(model.mj_model)
    data.qpos[:], data.qvel[:], data.act[:], data.ctrl[:] = *state[:3], ctrl
    return data


def our_data(model: sim.Model, state: sim.State, ctrl: Floats) -> Data:
    """Everything `forward` computes, and the inertia matrix, in a workspace that held NaN."""
    data = Data.for_model(model)
    fill_with_nan(data)
    data.qpos[:], data.qvel[:], data.act[:], data.ctrl[:] = *state[:3], ctrl
    data.mocap_pos[:], data.mocap_quat[:] = model.mocap_poses
    forward_world(model, data)
    crb(model, data)
    return data


def stage_error(expected: Floats, found: Floats) -> float:
    """Largest error relative to the largest entry; NaN counts as infinite."""
    if expected.size == 0:
        return 0.0
    error = np.abs(found.ravel() - expected.ravel()).max()
    scale = np.abs(expected).max()
    return float("inf") if np.isnan(error) else float(error / max(scale, 1e-3))


def assert_same_stages(model: sim.Model, state: sim.State, ctrl: Floats) -> None:
    """All stages of forward dynamics equal MuJoCo's."""
    theirs, ours = mujoco_data(model, state, ctrl), our_data(model, state, ctrl)
    mujoco.mj_forward(model.mj_model, theirs)
    matrix = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model.mj_model, theirs, matrix)
    wrong, unused = {}, set()
    if model.ngravcomp == 0:
        unused.add("qfrc_gravcomp")  # not computed, and not read
    if not model.actuator_enabled.all():
        unused |= {"actuator_velocity", "act_dot"}  # of actuators without effect: MuJoCo's own choice
    for name, tolerance in TOLERANCE.items():
        if name in unused:
            continue
        expected, found = getattr(theirs, name, None), getattr(ours, name)
        if name == "qM":
            # What lies between trees is never set or read.
            same_tree = np.equal.outer(model.dof_treeid, model.dof_treeid)
            expected, found = np.tril(matrix), np.where(same_tree, np.tril(found), 0.0)
        if name == "cinert":  # of the world body MuJoCo leaves it at zero, nobody reads it
            expected, found = theirs.cinert[1:], found[1:]
        error = stage_error(np.asarray(expected), found)
        if not error <= tolerance:
            wrong[name] = error
    assert not wrong, f"stages differ from MuJoCo: {wrong}"


def assert_same_step(model: sim.Model, state: sim.State, ctrl: Floats, tolerance: float = STEP_TOLERANCE) -> None:
    """One step equals mj_step; what the step changes is compared, not only where it ends."""
    theirs = mujoco_data(model, state, ctrl)
    spoil_workspaces(model)
    ours = sim.step(model, state, ctrl)
    mujoco.mj_step(model.mj_model, theirs)
    wrong = {}
    for name in sim.State._fields[:3]:
        start, expected, found = getattr(state, name), getattr(theirs, name), getattr(ours, name)
        rounding = 1e-15 * np.abs(expected).max(initial=0.0)
        change = np.abs(expected - start).max(initial=0.0)
        error = np.abs(found - expected).max(initial=0.0)
        if not error <= tolerance * change + rounding:
            wrong[name] = error
    assert not wrong, f"step differs from mj_step: {wrong}"


# MuJoCo's Newton at a tolerance near rounding, and Jacobians as a full matrix.
TIGHT = (
    '<option solver="Newton" tolerance="1e-16" iterations="100" ls_iterations="100" ls_tolerance="1e-9" '
    'jacobian="dense" cone="elliptic"/>'
)


def full_jacobian(data: Data, nv: int) -> Floats:
    """efc_J with a column for every degree of freedom."""
    full = np.zeros((data.nefc[0], nv))
    for row, packed, begins, counts in zip(full, data.efc_J, data.efc_dofadr, data.efc_dofnum, strict=False):
        for begin, count, column in zip(begins, counts, (0, counts[0]), strict=True):
            row[begin : begin + count] = packed[column : column + count]
    return full


def assert_same_rows(model: sim.Model, state: sim.State, ctrl: Floats) -> list[int]:
    """Constraint rows, acceleration and constraint force equal MuJoCo's; returns the rows' types.

    Both solve the same strictly convex problem to rounding; stiff rows amplify that.
    """
    theirs = mujoco_data(model, state, ctrl)
    mujoco.mj_forward(model.mj_model, theirs)
    n = theirs.nefc
    spoil_workspaces(model)
    with workspace(model) as ours:
        ours.qpos[:], ours.qvel[:], ours.act[:], ours.ctrl[:] = *state[:3], ctrl
        ours.mocap_pos[:], ours.mocap_quat[:] = model.mocap_poses
        ours.qacc_warmstart[:] = 0.0
        entry_points(model).forward(model, ours)
        assert list(ours.efc_type[: ours.nefc[0]]) == list(theirs.efc_type[:n])
        assert list(ours.efc_id[: ours.nefc[0]]) == list(theirs.efc_id[:n])
        compared = [
            ("efc_J", theirs.efc_J[: n * model.nv].reshape(n, model.nv), 1e-11),
            ("efc_pos", theirs.efc_pos - theirs.efc_margin, 1e-11),
            ("efc_R", theirs.efc_R, 1e-11),
            ("efc_D", theirs.efc_D, 1e-11),
            ("efc_vel", theirs.efc_vel, 1e-11),
            ("efc_aref", theirs.efc_aref, 1e-10),
        ]
        wrong = {}
        for name, expected, tolerance in compared:
            found = full_jacobian(ours, model.nv) if name == "efc_J" else getattr(ours, name)[:n]
            error = stage_error(expected, found)
            if not error <= tolerance:
                wrong[name] = error
        for name in ("ten_length", "ten_velocity", "qfrc_passive", "actuator_length", "actuator_velocity"):
            if model.tendon_num.any() or not name.startswith("ten_"):
                error = stage_error(getattr(theirs, name), getattr(ours, name))
                if not error <= VELOCITIES:
                    wrong[name] = error
        for name in ("actuator_force", "qfrc_actuator", "qacc", "qfrc_constraint"):
            error = stage_error(getattr(theirs, name), getattr(ours, name))
            if not error <= 1e-6:
                wrong[name] = error
    assert not wrong, f"differs from MuJoCo: {wrong}"
    return [int(kind) for kind in theirs.efc_type[:n]]
