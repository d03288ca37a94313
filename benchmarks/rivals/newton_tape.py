"""Newton on Warp's CPU backend: Featherstone's solver, differentiated by Warp's tape; float32.

Of Laikago's geoms the four feet, on contacts by penalty: stiffness and damping are chosen so that it stands
still and sinks in little. Contacts are found outside the tape, which changes no gradient and saves time: it takes
contact points in the frames of the bodies as given.
"""

import importlib
import time
from typing import Any

import numpy as np
import standing
from sides import peak_growth, processor_seconds, serve

CONTACT_STIFFNESS, CONTACT_DAMPING, SLIDING_DAMPING = 2e4, 50.0, 100.0  # [N/m], [N s/m], [N s/m]
CONTACTS = 8  # room for twice as many as there are, in place of hundreds


def prepare() -> dict[str, Any]:
    newton: Any = importlib.import_module("newton")
    wp: Any = importlib.import_module("warp")
    wp.config.log_level = wp.LOG_WARNING
    start, spec = standing.start(), standing.robot(feet_only=True)
    spec.compile()
    time_step = float(spec.option.timestep)

    def built() -> Any:
        builder = newton.ModelBuilder()
        builder.add_mjcf(spec.to_xml(), collapse_fixed_joints=True)
        count = builder.shape_count
        builder.shape_material_ke[:] = [CONTACT_STIFFNESS] * count
        builder.shape_material_kd[:] = [CONTACT_DAMPING] * count
        builder.shape_material_kf[:] = [SLIDING_DAMPING] * count
        builder.joint_target_ke[6:] = [standing.STIFFNESS] * 12
        builder.joint_target_kd[6:] = [standing.DAMPING] * 12
        builder.joint_target_q[-12:] = start.ctrl.tolist()
        x, y, z, qw, qx, qy, qz, *angles = start.qpos.tolist()
        builder.joint_q[:] = [x, y, z, qx, qy, qz, qw, *angles]
        builder.joint_qd[:] = start.qvel.tolist()  # upright, so that the frames of its velocities agree
        return builder.finalize(requires_grad=True, device="cpu")

    m = built()
    solver = newton.solvers.SolverFeatherstone(m, angular_damping=0.0)
    collisions = newton.CollisionPipeline(m, rigid_contact_max=CONTACTS)
    control, first = m.control(), m.state()
    newton.eval_fk(m, first.joint_q, first.joint_qd, first)
    c = standing.cotangent()

    def forward(steps: int) -> tuple[Any, Any]:
        tape, state = wp.Tape(), first
        for _ in range(steps):
            contacts, after = collisions.contacts(), m.state()
            collisions.collide(state, contacts)
            state.clear_forces()
            with tape:
                solver.step(state, after, control, contacts, time_step)
            state = after
        return tape, state

    def backward(tape: Any, last: Any) -> None:
        by_q = np.concatenate([c[:3], np.zeros(4), c[6:18]]).astype(np.float32)
        by_qd = c[18:].astype(np.float32)
        tape.backward(grads={last.joint_q: wp.array(by_q, device="cpu"), last.joint_qd: wp.array(by_qd, device="cpu")})

    def load() -> dict[str, float]:
        begin = time.perf_counter()
        backward(*forward(2))
        return {"compile": time.perf_counter() - begin}

    def run(steps: int) -> dict[str, float]:
        kept: list[Any] = []
        forward_seconds = processor_seconds(lambda: kept.append(forward(steps)), at_least=0.0)
        return {
            "forward": forward_seconds / steps,
            "backward": processor_seconds(lambda: backward(*kept[0]), at_least=0.0) / steps,
        }

    def memory(steps: int) -> float:
        return peak_growth(lambda: backward(*forward(steps)))

    def end(steps: int) -> dict[str, list[float]]:
        """The last position, as MuJoCo orders it."""
        x, y, z, qx, qy, qz, qw, *angles = forward(steps)[1].joint_q.numpy().tolist()
        return {"qpos": [x, y, z, qw, qx, qy, qz, *angles]}

    def about() -> str:
        return (
            "the four feet only, on contacts by penalty (other physics: it sinks in deeper, see its height), float32; "
            "the gradient of this solver is exact for one step, and wrong from the second on"
        )

    return {"load": load, "run": run, "memory": memory, "end": end, "about": about}


serve(prepare)
