"""Speed of a step on models that others wrote, beside MuJoCo.

    python benchmarks/foreign_speed.py humanoid.xml kitchen.xml   # model files
    python benchmarks/foreign_speed.py kitchen terrain table      # scenes of `cluttered_scenes.py`

One world and one thread, both sides from the same state in the same process: `sim.step` with many
steps and as many of `mj_step`, in alternation, the fastest of several repetitions of processor
time. Each model starts from its initial pose and from where it is after some seconds; control is
that of its first keyframe, or zero. Models that the simulator refuses are counted and left out.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np
from cluttered_scenes import SCENES

from gradgym import sim
from gradgym.sim.model.unsupported import UnsupportedModelError
from gradgym.sim.model.workspaces import workspace

SETTLE = 2.0  # s of simulated time
BLOCK = 0.05  # s of processor time that a measured stretch of mj_step takes


class Row(NamedTuple):
    """One stretch of steps of one model."""

    name: str
    start: str
    mj_step: float  # [us]
    step: float  # [us]
    contacts: int  # at the end of the stretch, as all below
    iterations: int
    mj_iterations: int
    moved_apart: float  # largest difference of qpos

    @property
    def ratio(self) -> float:
        return self.step / self.mj_step


def compiled(name: str) -> mujoco.MjModel:
    return SCENES[name]().compile() if name in SCENES else mujoco.MjModel.from_xml_path(name)


def settled(m: mujoco.MjModel, ctrl: np.ndarray, limit: float = 20.0) -> mujoco.MjData:
    """After `SETTLE` of simulated time, or `limit` seconds of ours."""
    d, begin = mujoco.MjData(m), time.perf_counter()
    d.ctrl[:] = ctrl
    while d.time < SETTLE and time.perf_counter() - begin < limit:
        mujoco.mj_step(m, d)
    return d


def measure(name: str, start: str, m: mujoco.MjModel, model: sim.Model, at: mujoco.MjData, repeats: int) -> Row:
    state, ctrl, d = sim.State(at.qpos.copy(), at.qvel.copy(), at.act.copy()), at.ctrl.copy(), mujoco.MjData(m)

    def mj_steps(n: int) -> float:
        mujoco.mj_resetData(m, d)
        d.qpos[:], d.qvel[:], d.act[:], d.ctrl[:] = *state[:3], ctrl
        begin = time.thread_time()
        mujoco.mj_step(m, d, nstep=n)
        return time.thread_time() - begin

    mj_steps(5)
    n = int(np.clip(BLOCK * 10 / max(mj_steps(10), 1e-6), 5, 2000))
    ours, theirs = [], []
    end = sim.step(model, state, ctrl, n_steps=n)
    for _ in range(repeats):
        begin = time.thread_time()
        end = sim.step(model, state, ctrl, n_steps=n)
        ours.append(time.thread_time() - begin)
        theirs.append(mj_steps(n))
    with workspace(model) as data:
        contacts, iterations = (int(data.ncon[0]), int(data.solver_niter[0])) if model.nefcmax else (0, 0)
    mj_iterations = int(d.solver_niter[: max(1, d.nisland)].sum()) if d.nefc else 0
    apart = float(np.abs(end.qpos - d.qpos).max())
    return Row(name, start, 1e6 * min(theirs) / n, 1e6 * min(ours) / n, contacts, iterations, mj_iterations, apart)


def rows_of(name: str, repeats: int) -> list[Row]:
    m = compiled(name)
    model = sim.Model.from_mujoco(m)
    ctrl = m.key_ctrl[0] if m.nkey else np.zeros(m.nu)
    first, label = mujoco.MjData(m), Path(name).stem
    first.ctrl[:] = ctrl
    starts = {"initial": first, "settled": settled(m, ctrl)}
    return [measure(label, start, m, model, at, repeats) for start, at in starts.items()]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", help=f"model files, or scenes: {', '.join(SCENES)}")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args(argv)
    sim.set_num_threads(1)
    rows, refused = [], 0
    print("| model | from | step / mj_step | mj_step [µs] | contacts | iterations | MuJoCo's | apart |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.models:
        try:
            found = rows_of(name, arguments.repeats)
        except UnsupportedModelError as error:
            refused += 1
            print(f"| {Path(name).stem} | refused: {error} |")
            continue
        rows += found
        for row in found:
            print(
                f"| {row.name} | {row.start} | {row.ratio:.2f} | {row.mj_step:.1f} | {row.contacts} | "
                f"{row.iterations} | {row.mj_iterations} | {row.moved_apart:.1e} |",
                flush=True,
            )
    ratios = [row.ratio for row in rows]
    if ratios:
        print(
            f"\n{len(ratios)} measurements, {refused} models refused: median {statistics.median(ratios):.2f}, "
            f"90th percentile {np.quantile(ratios, 0.9):.2f}, worst {max(ratios):.2f}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
