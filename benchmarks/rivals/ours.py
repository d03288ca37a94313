"""gradgym: a rollout, and its vector-Jacobian product."""

from typing import Any

from sides import peak_growth, processor_seconds, serve


def prepare() -> dict[str, Any]:
    import mujoco
    import numpy as np
    import standing

    from gradgym import sim

    sim.set_num_threads(1)
    start = standing.start()
    state = sim.State(start.qpos, start.qvel, np.empty(0))
    models: list[sim.Model] = []

    def inputs(steps: int) -> tuple[np.ndarray, np.ndarray]:
        cotangents = np.zeros((steps + 1, 36))
        cotangents[-1] = standing.cotangent()
        return np.repeat(start.ctrl[None], steps, axis=0), cotangents

    def both_passes(steps: int) -> sim.RolloutGradient:
        ctrls, cotangents = inputs(steps)
        return sim.rollout_vjp(models[0], sim.rollout(models[0], state, ctrls), cotangents)

    def load(solver: str = "Newton", feet_only: bool = False) -> dict[str, float]:
        spec = standing.robot(feet_only)
        spec.option.solver = int(getattr(mujoco.mjtSolver, f"mjSOL_{solver.upper()}"))
        models[:] = [sim.Model.from_mujoco(spec)]
        both_passes(2)
        return {}

    def run(steps: int) -> dict[str, float]:
        ctrls, cotangents = inputs(steps)
        path = sim.rollout(models[0], state, ctrls)
        return {
            "forward": processor_seconds(lambda: sim.rollout(models[0], state, ctrls)) / steps,
            "backward": processor_seconds(lambda: sim.rollout_vjp(models[0], path, cotangents)) / steps,
        }

    def memory(steps: int) -> float:
        return peak_growth(lambda: both_passes(steps))

    def end(steps: int) -> dict[str, list[float]]:
        """The last state, and the gradient by the first control."""
        path = sim.rollout(models[0], state, inputs(steps)[0])
        return {
            "qpos": path.qpos[-1].tolist(),
            "qvel": path.qvel[-1].tolist(),
            "gradient": sim.rollout_vjp(models[0], path, inputs(steps)[1]).ctrls[0].tolist(),
        }

    return {"load": load, "run": run, "memory": memory, "end": end}


serve(prepare)
