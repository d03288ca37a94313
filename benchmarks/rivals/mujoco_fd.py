"""MuJoCo: `mujoco.rollout`, and backwards a product with the finite differences of each step.

The backward pass keeps states only, and forms the Jacobians of one step at a time
(`mjd_transitionFD`, forward differences), so that its memory is as small as it can be.
"""

from typing import Any

import mujoco
import numpy as np
import standing
from mujoco.rollout import Rollout
from sides import peak_growth, processor_seconds, serve

EPSILON = 1e-6


def prepare() -> dict[str, Any]:
    threads, start, m = Rollout(nthread=0), standing.start(), standing.robot().compile()
    d, kept = mujoco.MjData(m), int(mujoco.mjtState.mjSTATE_FULLPHYSICS)
    d.qpos[:], d.qvel[:], d.ctrl[:] = start
    initial = np.empty(mujoco.mj_stateSize(m, kept))
    mujoco.mj_getState(m, d, initial, kept)
    mujoco.mj_forward(m, d)

    def forward(steps: int) -> np.ndarray:
        """States at the ends of the steps."""
        states, _ = threads.rollout(m, d, initial[None], np.repeat(start.ctrl[None, None], steps, axis=1))
        return np.asarray(states)[0]

    def backward(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradients by first state and controls.

        `mjd_transitionFD` leaves the solver's warm start as it finds it, and starts all its steps from it: a step
        made before provides it.
        """
        a, b = np.empty((36, 36)), np.empty((36, 12))
        state_adj, ctrl_adj = standing.cotangent(), np.empty((len(states), 12))
        d.ctrl[:] = start.ctrl
        for t in range(len(states) - 1, -1, -1):
            state = states[t - 1] if t else initial
            mujoco.mj_setState(m, d, state, kept)
            mujoco.mj_step(m, d)
            mujoco.mj_setState(m, d, state, kept)
            mujoco.mjd_transitionFD(m, d, EPSILON, False, a, b, None, None)
            ctrl_adj[t], state_adj = state_adj @ b, state_adj @ a
        return state_adj, ctrl_adj

    def load() -> dict[str, float]:
        """Memory of the workspace [MB]: of one more `mjData` that steps."""
        backward(forward(2))

        def workspace() -> mujoco.MjData:
            other = mujoco.MjData(m)
            other.qpos[:], other.qvel[:], other.ctrl[:] = start
            mujoco.mj_step(m, other)
            return other

        return {"workspace": peak_growth(workspace)}

    def run(steps: int) -> dict[str, float]:
        states = forward(steps)
        return {
            "forward": processor_seconds(lambda: forward(steps)) / steps,
            "backward": processor_seconds(lambda: backward(states)) / steps,
        }

    def memory(steps: int) -> float:
        return peak_growth(lambda: backward(forward(steps)))

    def end(steps: int) -> dict[str, list[float]]:
        """The last state, and the gradient by the first (tangents)."""
        states = forward(steps)
        qpos, qvel = states[-1, 1:20], states[-1, 20:38]
        return {"qpos": qpos.tolist(), "qvel": qvel.tolist(), "gradient": backward(states)[0].tolist()}

    def about() -> str:
        return "Newton, all geoms, float64; keeps states, and forms the Jacobians of a step when it goes back"

    return {"load": load, "run": run, "memory": memory, "end": end, "about": about}


serve(prepare)
