"""Peak memory of a long rollout and its backward pass: at most 1 KB a step for 18 degrees of freedom."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from gradgym import sim

STEPS, WARM_UP, BYTES_PER_STEP = 5000, 10, 1024
LEG = """<body pos="{x} {y} 0">
  <joint name="abduct{i}" axis="1 0 0" damping="0.2" armature="0.01"/>
  <geom type="capsule" size="0.03" fromto="0 0 0 0 {y} 0" mass="0.4"/>
  <body pos="0 {y} 0"><joint name="hip{i}" axis="0 1 0" damping="0.2" armature="0.01"/>
    <geom type="capsule" size="0.03" fromto="0 0 0 0 0 -0.2" mass="0.4"/>
    <body pos="0 0 -0.2"><joint name="knee{i}" axis="0 1 0" damping="0.2" armature="0.01"/>
      <geom type="capsule" size="0.02" fromto="0 0 0 0 0 -0.2" mass="0.2"/>
    </body></body></body>"""
CORNERS = ((0.2, 0.1), (0.2, -0.1), (-0.2, 0.1), (-0.2, -0.1))
QUADRUPED = f"""<mujoco><option timestep="0.002"><flag contact="disable"/></option>
  <worldbody><body pos="0 0 0.5"><freejoint/><geom type="box" size="0.25 0.1 0.05" mass="5"/>
  {"".join(LEG.format(i=i, x=x, y=y) for i, (x, y) in enumerate(CORNERS))}</body></worldbody>
  <actuator>{"".join(f'<motor joint="{part}{i}"/>' for i in range(4) for part in ("abduct", "hip", "knee"))}</actuator>
</mujoco>"""


def forward_and_backward(
    model: sim.Model, ctrls: np.ndarray, cotangents: np.ndarray, interval: int = 1
) -> sim.RolloutGradient:
    path = sim.rollout(model, model.initial_state(), ctrls, checkpoint_interval=interval)
    return sim.rollout_vjp(model, path, cotangents)


def inputs(model: sim.Model, steps: int, interval: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Controls, and a cotangent of the last state only."""
    rng, nx = np.random.default_rng(0), 2 * model.nv
    cotangents = np.zeros((steps // interval + 1, nx))
    cotangents[-1] = rng.normal(size=nx)
    return rng.normal(scale=0.1, size=(steps, model.nu)), cotangents


# An interval of 50 leaves the controls and their gradient, 192 bytes a step, and little more.
@pytest.mark.parametrize(("interval", "most"), [(1, BYTES_PER_STEP), (50, 224)])
def test_arrays_of_a_long_rollout(interval: int, most: int) -> None:
    model = sim.Model.from_xml_string(QUADRUPED)
    assert (model.nv, model.nu) == (18, 12)
    forward_and_backward(model, *inputs(model, 2 * interval, interval), interval)
    tracemalloc.start()
    try:
        ctrls, cotangents = inputs(model, STEPS, interval)
        before = tracemalloc.get_traced_memory()[0] - ctrls.nbytes - cotangents.nbytes
        tracemalloc.reset_peak()
        gradient = forward_and_backward(model, ctrls, cotangents, interval)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert np.isfinite(gradient.state0).all() and np.abs(gradient.ctrls).max() > 0
    assert peak <= most * STEPS, f"{peak / STEPS:.0f} bytes a step"


def resident_peak() -> int:
    """Bytes; the kernel's own record, so that no allocator can hide from it."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def report_peak() -> None:
    """In a process of its own: print how much the long run raised the peak of resident memory."""
    model = sim.Model.from_xml_string(QUADRUPED)
    forward_and_backward(model, *inputs(model, WARM_UP))
    ctrls, cotangents = inputs(model, STEPS)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of import and compilation
    before = resident_peak()
    forward_and_backward(model, ctrls, cotangents)
    print("raised by", resident_peak() - before)


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux's record of peak memory")
def test_resident_memory_of_a_long_rollout() -> None:
    command = [sys.executable, "-c", "import test_sim_memory; test_sim_memory.report_peak()"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    raised = int(done.stdout.split("raised by")[1])
    assert raised <= BYTES_PER_STEP * STEPS, f"{raised / STEPS:.0f} bytes a step"
    assert raised > 100 * STEPS, "the checkpoints alone take more: the measurement is broken"
