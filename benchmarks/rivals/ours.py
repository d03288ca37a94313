"""gradgym: a rollout, and its vector-Jacobian product."""

import math
from typing import Any

import mujoco
import numpy as np
import standing
from sides import peak_growth, processor_seconds, serve

from gradgym import sim


def prepare() -> dict[str, Any]:
    sim.set_num_threads(1)
    start = standing.start()
    state = sim.State(start.qpos, start.qvel, np.empty(0))
    using: dict[str, Any] = {}

    def inputs(steps: int) -> tuple[np.ndarray, np.ndarray]:
        cotangents = np.zeros((math.ceil(steps / using["interval"]) + 1, 36))
        cotangents[-1] = standing.cotangent()
        return np.repeat(start.ctrl[None], steps, axis=0), cotangents

    def forward(ctrls: np.ndarray) -> sim.Trajectory:
        return sim.rollout(using["model"], state, ctrls, checkpoint_interval=using["interval"])

    def backward(path: sim.Trajectory, cotangents: np.ndarray) -> sim.RolloutGradient:
        return sim.rollout_vjp(using["model"], path, cotangents)

    def both_passes(steps: int) -> sim.RolloutGradient:
        ctrls, cotangents = inputs(steps)
        return backward(forward(ctrls), cotangents)

    def load(solver: str = "Newton", feet_only: bool = False, checkpoint_interval: int = 1) -> dict[str, float]:
        """Memory of the workspace [MB], which the first two passes of a model make."""
        spec = standing.robot(feet_only)
        spec.option.solver = int(getattr(mujoco.mjtSolver, f"mjSOL_{solver.upper()}"))
        using["interval"] = checkpoint_interval
        using["model"] = sim.Model.from_mujoco(spec)
        using["about"] = f"{solver}, {'the four feet only' if feet_only else 'all geoms'}, float64"
        both_passes(2)  # compiles
        using["model"] = sim.Model.from_mujoco(spec)
        return {"workspace": peak_growth(lambda: both_passes(1))}

    def run(steps: int) -> dict[str, float]:
        ctrls, cotangents = inputs(steps)
        path = forward(ctrls)
        return {
            "forward": processor_seconds(lambda: forward(ctrls)) / steps,
            "backward": processor_seconds(lambda: backward(path, cotangents)) / steps,
        }

    def memory(steps: int) -> float:
        return peak_growth(lambda: both_passes(steps))

    def end(steps: int) -> dict[str, list[float]]:
        """The last state, and the gradient by the first (tangents)."""
        ctrls, cotangents = inputs(steps)
        path = forward(ctrls)
        gradient = backward(path, cotangents).state0
        return {"qpos": path.qpos[-1].tolist(), "qvel": path.qvel[-1].tolist(), "gradient": gradient.tolist()}

    def about() -> str:
        return using["about"]

    return {"load": load, "run": run, "memory": memory, "end": end, "about": about}


serve(prepare)
