"""MJX under JAX on the CPU, float64; of Laikago's geoms the four feet.

Reverse mode needs a solver of one iteration (its loop has no reverse mode otherwise), and all geoms
would cost many times more. In float32, its default, the gradient here is far too large.
Compiled once for `CHUNK` steps; a rollout is a chain of such calls.
"""

import importlib
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import standing
from sides import peak_growth, processor_seconds, serve

CHUNK = 50

# Without the first, programs for chains of bodies take up to a thousand times longer; the others keep it to one thread.
os.environ["XLA_FLAGS"] = (
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)


def robot(jax: Any) -> tuple[Any, Callable[[Any, Any], Any]]:
    """The first state (position, velocity, the solver's start), and the function that advances one by controls."""
    mjx: Any = importlib.import_module("mujoco.mjx")
    spec, start = standing.robot(feet_only=True), standing.start()
    spec.option.iterations, spec.option.ls_iterations = 1, 4
    mj_model = spec.compile()
    m, d = mjx.put_model(mj_model), mjx.make_data(mj_model)

    def body(state: Any, ctrl: Any) -> tuple[Any, None]:
        qpos, qvel, warmstart = state
        after = mjx.step(m, d.replace(qpos=qpos, qvel=qvel, qacc_warmstart=warmstart, ctrl=ctrl))
        return (after.qpos, after.qvel, after.qacc_warmstart), None

    first = tuple(map(jax.numpy.asarray, (start.qpos, start.qvel, np.zeros(mj_model.nv))))
    return first, lambda state, ctrls: jax.lax.scan(body, state, ctrls)[0]


def turning(quat: np.ndarray) -> np.ndarray:
    """(4, 3): twice the quaternion's derivative by a small rotation in the body's frame."""
    w, x, y, z = quat
    return np.array([[-x, -y, -z], [w, -z, y], [z, w, -x], [-y, x, w]])


def loss_gradient(qpos: np.ndarray) -> tuple[np.ndarray, ...]:
    """The cotangent of the last state, by the coordinates of `qpos` in place of its tangent."""
    tangent = standing.cotangent()
    by_quat = 2.0 * turning(qpos[3:7]) @ tangent[3:6]
    return np.concatenate([tangent[:3], by_quat, tangent[6:18]]), tangent[18:], np.zeros(18)


def prepare() -> dict[str, Any]:
    jax: Any = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    first, chunk = robot(jax)
    start = standing.start()
    ctrls = jax.numpy.repeat(jax.numpy.asarray(start.ctrl)[None], CHUNK, axis=0)
    compiled: dict[str, Any] = {}

    def load(checkpoints: bool = False) -> dict[str, float]:
        """With `checkpoints`, forward keeps a state every `CHUNK` steps, else all that the backward pass needs."""
        begin = time.perf_counter()
        if checkpoints:
            compiled["forward"] = jax.jit(lambda state: (chunk(state, ctrls), state))
            compiled["backward"] = jax.jit(lambda state, adjoint: jax.vjp(chunk, state, ctrls)[1](adjoint))
        else:
            compiled["forward"] = jax.jit(lambda state: jax.vjp(chunk, state, ctrls))
            compiled["backward"] = jax.jit(lambda pull, adjoint: pull(adjoint))
        both_passes(CHUNK)
        return {"compile": time.perf_counter() - begin}

    def forward(steps: int) -> tuple[Any, list[Any]]:
        """The last state, and what each chunk keeps."""
        state, kept = first, []
        for _ in range(steps // CHUNK):
            state, keep = compiled["forward"](state)
            kept.append(keep)
        return jax.block_until_ready((state, kept))

    def backward(last: Any, kept: list[Any]) -> tuple[Any, list[Any]]:
        """Gradients by the first state, and by the controls of each chunk."""
        adjoint = tuple(map(jax.numpy.asarray, loss_gradient(np.asarray(last[0]))))
        ctrl_adj = []
        for keep in reversed(kept):
            adjoint, chunk_adj = compiled["backward"](keep, adjoint)
            ctrl_adj.append(chunk_adj)
        return jax.block_until_ready((adjoint, ctrl_adj))

    def both_passes(steps: int) -> Any:
        return backward(*forward(steps))

    def run(steps: int) -> dict[str, float]:
        last, kept = forward(steps)
        return {
            "forward": processor_seconds(lambda: forward(steps)) / steps,
            "backward": processor_seconds(lambda: backward(last, kept)) / steps,
        }

    def memory(steps: int) -> float:
        return peak_growth(lambda: both_passes(steps))

    def end(steps: int) -> dict[str, list[float]]:
        """The last state, and the gradient by the first (tangents)."""
        last, kept = forward(steps)
        by_qpos, by_qvel, _ = map(np.asarray, backward(last, kept)[0])
        by_rotation = 0.5 * turning(start.qpos[3:7]).T @ by_qpos[3:7]
        gradient = np.concatenate([by_qpos[:3], by_rotation, by_qpos[7:], by_qvel])
        return {"qpos": last[0].tolist(), "qvel": last[1].tolist(), "gradient": gradient.tolist()}

    def about() -> str:
        return (
            "the four feet only, one iteration of Newton (reverse mode allows no more, a robot at rest needs no more), "
            "float64 (in float32 its gradient here is far too large, in a trial that is not stored)"
        )

    return {"load": load, "run": run, "memory": memory, "end": end, "about": about}


serve(prepare)
