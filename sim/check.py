"""What the simulator makes of a model: whether it loads, whether steps and gradients are right, what they cost.

gradgym-check robot.xml

Steps are compared with MuJoCo's, gradients with differences of steps, both with a solver that converges,
in states that MuJoCo comes by under random controls. Times are of one core. The exit status is 0 if all
is well, 1 if the model is not simulated or something differs, 2 if there is no such model.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mujoco
import numpy as np
from rich.console import Console
from rich.table import Table

from . import mujoco_twin
from .kernels.record import Floats
from .kernels.threads import get_num_threads, set_num_threads
from .linearize import step_jacobian
from .model.model import Model, State, tangent_size
from .model.unsupported import UnsupportedModelError
from .mujoco_differences import difference_one_step
from .step import counted_step, step
from .tangent import integrate_pos

SAME_STEP = 1e-6  # of what a step changes: two converged solvers of stiff contacts may differ by that
SAME_GRADIENT = 1e-5  # of the largest entry
NUDGE = 1e-5  # of the differences [m, rad, ...]
TIMED_STEPS = 20
_PAUSE = 0.05  # between states [s]
_RESTART = 6  # states from one start


class States(NamedTuple):
    """Where a model is looked at: states and controls, one axis in front."""

    state: State
    ctrl: Floats
    contacts: int  # in how many of them something touches


class Difference(NamedTuple):
    """How far two results are apart, relative, at worst; of how many states."""

    worst: float
    states: int


class Speed(NamedTuple):
    """Processor time in seconds, ours and MuJoCo's."""

    ours: float
    mujoco: float


def visited(model: Model, count: int, seed: int) -> States:
    """`count` states that MuJoCo comes by, from all keyframes and `qpos0` in turn, moved a little."""
    m, rng = model.mj_model, np.random.default_rng(seed)
    d, found, contacts = mujoco.MjData(m), [], 0
    for k in range(count):
        if k % _RESTART == 0 or not np.isfinite(d.qpos).all() or d.warning.number[_BAD].any():
            key = k // _RESTART % (m.nkey + 1)
            mujoco.mj_resetData(m, d)
            if key < m.nkey:
                mujoco.mj_resetDataKeyframe(m, d, key)
            mujoco.mj_integratePos(m, d.qpos, rng.normal(scale=0.02, size=m.nv), 1.0)
            d.qvel[:] += rng.normal(scale=0.1, size=m.nv)
        low, high = m.actuator_ctrlrange.T
        free = rng.normal(scale=0.3, size=m.nu)
        d.ctrl[:] = np.where(m.actuator_ctrllimited.astype(bool), low + (high - low) * rng.uniform(size=m.nu), free)
        mujoco.mj_step(m, d, max(1, round(_PAUSE / m.opt.timestep)))
        poses = d.qpos, d.qvel, d.act, d.mocap_pos, d.mocap_quat, d.ctrl
        found.append([x.copy() for x in poses])
        contacts += d.ncon > 0
    *state, ctrl = (np.stack(x) for x in zip(*found, strict=True))
    return States(State(*state), ctrl, contacts)


_BAD = [int(getattr(mujoco.mjtWarning, f"mjWARN_BAD{name}")) for name in ("QPOS", "QVEL", "QACC", "CTRL")]


def converged(model: Model) -> Model:
    """The model with a solver that goes on until it has converged."""
    return model.replace(tolerance=1e-15, iterations=max(200, model.iterations), ls_iterations=100)


def step_difference(model: Model, states: States) -> Difference:
    """A step of ours and of MuJoCo's, relative to what MuJoCo's changes."""
    ours, theirs = (backend(model, states.state, states.ctrl) for backend in (step, mujoco_twin.step))
    worst, start = 0.0, states.state
    for before, found, expected in zip(start[:3], ours[:3], theirs[:3], strict=True):
        error, change = (np.abs(x).max(axis=1, initial=0.0) for x in (found - expected, expected - before))
        rounding = 1e-15 * np.abs(expected).max(axis=1, initial=0.0)
        relative = np.maximum(error - rounding, 0.0) / np.maximum(change, 1e-12)
        worst = max(worst, float(np.nan_to_num(relative, nan=np.inf).max(initial=0.0)))
    return Difference(worst, len(states.ctrl))


def gradient_difference(model: Model, states: States, seed: int) -> Difference:
    """The Jacobian of a step along a random direction, and differences of steps, where nothing switches."""
    nx, rng = tangent_size(model), np.random.default_rng(seed)
    direction = rng.normal(size=(len(states.ctrl), nx + model.nu))
    jacobian = step_jacobian(model, states.state, states.ctrl)
    exact = np.einsum("bij,bj->bi", np.concatenate([jacobian.A, jacobian.B], axis=2), direction)
    center = step(model, states.state, states.ctrl)
    ends = {s: _end(model, states, s * NUDGE * direction, center) for s in (-2, -1, 1, 2)}
    one, two = (ends[1] - ends[-1]) / (2 * NUDGE), (ends[2] - ends[-2]) / (4 * NUDGE)
    found = (4.0 * one - two) / 3.0
    scale, size = (np.abs(x).max(axis=1, initial=0.0) for x in (found, np.concatenate(center[:3], axis=1)))
    rounding = 20.0 * np.finfo(float).eps * size / NUDGE
    bend = np.abs(ends[-2] + ends[2] - 4.0 * (ends[-1] + ends[1])).max(axis=1, initial=0.0) / NUDGE
    smooth = bend <= SAME_GRADIENT * scale + rounding  # no row or clamp switches between the points
    error = np.maximum(np.abs(exact - found).max(axis=1, initial=0.0) - rounding, 0.0) / np.maximum(scale, 1e-12)
    return Difference(float(error[smooth].max(initial=0.0)), int(smooth.sum()))


def _end(model: Model, states: States, nudge: Floats, center: State) -> Floats:
    """Tangent from `center` to where the step from nudged states ends."""
    nv, nx, start = model.nv, tangent_size(model), states.state
    moved = start._replace(
        qpos=integrate_pos(model, start.qpos, nudge[:, :nv]),
        qvel=start.qvel + nudge[:, nv : 2 * nv],
        act=start.act + nudge[:, 2 * nv : nx],
    )
    after = step(model, moved, states.ctrl + nudge[:, nx:])
    shift = np.empty_like(center.qvel)
    for row, begin, end in zip(shift, center.qpos, after.qpos, strict=True):
        mujoco.mj_differentiatePos(model.mj_model, row, 1.0, begin, end)
    return np.concatenate([shift, after.qvel - center.qvel, after.act - center.act], axis=1)


def step_speed(model: Model, states: States) -> Speed:
    """A step of one world on one core."""
    worlds = len(states.ctrl) * TIMED_STEPS
    ours = _seconds(lambda: step(model, states.state, states.ctrl, TIMED_STEPS)) / worlds
    return Speed(ours, _seconds(lambda: mujoco_twin.step(model, states.state, states.ctrl, TIMED_STEPS)) / worlds)


def jacobian_speed(model: Model, states: States) -> Speed:
    """The Jacobian of a step, and MuJoCo's central differences: `mjd_transitionFD`, which refuses RK4."""
    m, d = model.mj_model, mujoco.MjData(model.mj_model)

    def differences() -> None:
        for *state, ctrl in zip(*states.state, states.ctrl, strict=True):
            for name, value in zip((*State._fields, "ctrl"), (*state, ctrl), strict=True):
                getattr(d, name)[...] = value
            difference_one_step(m, d)

    worlds = len(states.ctrl)
    return Speed(
        _seconds(lambda: step_jacobian(model, states.state, states.ctrl)) / worlds, _seconds(differences) / worlds
    )


def _seconds(work: Callable[[], Any]) -> float:
    """Processor time, the median of three, after one that compiles."""
    work()
    times = []
    for _ in range(3):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return sorted(times)[1]


def _rows(model: Model, count: int, seed: int) -> tuple[list[tuple[str, str, str]], bool]:
    """The table's rows, and whether all is well."""
    m, tight, states = model.mj_model, converged(model), visited(model, count, seed)
    integrator = mujoco.mjtIntegrator(int(m.opt.integrator)).name.removeprefix("mjINT_").lower()
    rows = [("loads", "yes", f"nq {m.nq}, nv {m.nv}, nu {m.nu}, na {m.na}; {integrator}; {model.npair} pairs of geoms")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what does not converge is counted below
        same, smooth = step_difference(tight, states), gradient_difference(tight, states, seed)
        stopped = int(np.count_nonzero(counted_step(model, states.state, states.ctrl)[1]))
        steps, jacobians = step_speed(model, states), jacobian_speed(model, states)
    rows += [
        ("step is mj_step's", _verdict(same, SAME_STEP), f"{count} states, {states.contacts} in contact"),
        ("gradient is differences'", _verdict(smooth, SAME_GRADIENT), f"{smooth.states} states where nothing switches"),
        ("solver converges", f"{count - stopped} of {count}", "" if not stopped else
         f"gradients need convergence: from_xml_path(path, iterations=100), the file has {model.iterations}"),
        ("step", f"{1e6 * steps.ours:.1f} us", f"mj_step {1e6 * steps.mujoco:.1f} us"),
        ("Jacobian", f"{1e6 * jacobians.ours:.1f} us", f"MuJoCo's differences {1e6 * jacobians.mujoco:.1f} us"),
    ]  # fmt: skip
    return rows, same.worst <= SAME_STEP and smooth.worst <= SAME_GRADIENT


def _verdict(found: Difference, bound: float) -> str:
    if not found.states:
        return "not seen"
    return f"{'yes' if found.worst <= bound else 'NO'}, off by {found.worst:.0e}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gradgym-check", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, metavar="MODEL.xml", help="MJCF or URDF")
    parser.add_argument("--states", type=int, default=24, help="in which steps are compared; default: 24")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--flag", action="append", default=[], metavar="NAME=VALUE",
                        help="an option flag that the file has otherwise, as sleep=disable")  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.states < 1:
            raise ValueError(f"--states is {arguments.states}, need at least 1")
        flags = {name: value for name, _, value in (flag.partition("=") for flag in arguments.flag)}
        model = Model.from_xml_path(arguments.model, flags=flags)
    except UnsupportedModelError as error:
        print(f"gradgym-check: {arguments.model}: {error}", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"gradgym-check: {error}", file=sys.stderr)
        return 2
    threads = get_num_threads()
    set_num_threads(1)
    try:
        rows, well = _rows(model, arguments.states, arguments.seed)
    except KeyboardInterrupt:
        return 130
    finally:
        set_num_threads(threads)
    table = Table(title=arguments.model.name, title_justify="left")
    for name in ("", "result", "of"):
        table.add_column(name)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
