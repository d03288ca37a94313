"""PyTorch: the simulation as eager operations (`torch_simulator.py`), the backward pass by autograd."""

import time
from types import SimpleNamespace
from typing import Any, get_args

from sides import peak_growth, serve

MEMORY_LIMIT = 12e3  # [MB], as in a machine of 16 GB
PROBE_STEPS = 20


def prepare() -> dict[str, Any]:
    import mujoco
    import standing
    import torch
    from torch_simulator import NEWTON_ITERATIONS, PGS_ITERATIONS, Quadruped, Solver, State, advance
    from torch_simulator import tangent as tangent_of

    torch.set_num_threads(1)
    start, m = standing.start(), standing.robot().compile()
    d = mujoco.MjData(m)
    d.qpos[:], d.qvel[:], d.ctrl[:] = start
    mujoco.mj_forward(m, d)
    robot, cotangent = Quadruped(m, d.contact[0]), torch.tensor(standing.cotangent())
    first = State(*(torch.tensor(x)[None] for x in (start.qpos, start.qvel, d.efc_force)))
    using = SimpleNamespace(solver="newton", megabytes_a_step=0.0)

    def passes(steps: int) -> dict[str, Any]:
        ctrls = torch.tensor(start.ctrl).expand(steps, 1, -1).clone().requires_grad_()
        tangent = torch.zeros(1, 2 * m.nv, dtype=torch.float64, requires_grad=True)
        begin = time.process_time()
        state = State(advance(first.qpos, tangent[:, : m.nv]), first.qvel + tangent[:, m.nv :], first.row_forces)
        end = robot.rollout(state, ctrls, using.solver)
        middle = time.process_time()
        (tangent_of(end)[0] @ cotangent).backward()
        seconds = {"forward": middle - begin, "backward": time.process_time() - middle}
        return {"end": end, "gradient": tangent.grad, "seconds": seconds}

    def load(solver: str = "newton") -> dict[str, float]:
        if solver.lower() not in get_args(Solver):
            raise ValueError(f"solver is one of {get_args(Solver)}, not {solver!r}")
        using.solver = solver.lower()
        passes(2)
        using.megabytes_a_step = peak_growth(lambda: passes(PROBE_STEPS)) / PROBE_STEPS
        return {}

    def too_large(steps: int) -> bool:
        return steps * using.megabytes_a_step > MEMORY_LIMIT

    def run(steps: int) -> dict[str, float] | None:
        """Processor time a step; None where memory would not do, as for `memory`."""
        if too_large(steps):
            return None
        return {name: value / steps for name, value in passes(steps)["seconds"].items()}

    def memory(steps: int) -> float | None:
        return None if too_large(steps) else peak_growth(lambda: passes(steps))

    def end(steps: int) -> dict[str, list[float]]:
        """The last state, and the gradient by the first (tangents)."""
        found = passes(steps)
        last = found["end"]
        return {
            "qpos": last.qpos[0].tolist(),
            "qvel": last.qvel[0].tolist(),
            "gradient": found["gradient"][0].tolist(),
        }

    def about() -> str:
        iterations = f"{NEWTON_ITERATIONS} Newton iterations"
        if using.solver == "pgs":
            iterations = (
                f"{PGS_ITERATIONS} projected Gauss-Seidel sweeps, all in the graph, whose number sets its memory and "
                "time (5 would do for the motion, but not for the gradient: a trial that is not stored)"
            )
        return (
            f"the same step with the feet's contacts, {iterations}; float64, eager, without joint limits; "
            f"empty where it would need more than {MEMORY_LIMIT / 1e3:.0f} GB"
        )

    return {"load": load, "run": run, "memory": memory, "end": end, "about": about}


serve(prepare)
