"""MJX: Jacobians of a step by forward mode, and gradients of a rollout by reverse mode, both in double precision.

Reverse mode does not pass the solver's loop unless it makes one iteration only, so that mode gets one, and starts it
from a warm start that it is given. Forward mode starts from zeros: derivatives arise in the iterations alone, and a
start that is the solution leaves the loop before the first.
"""

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sides import serve

# Without it chains take a thousand times longer.
os.environ["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false"
os.environ["JAX_PLATFORMS"] = "cpu"
REVERSE_LINE_SEARCH = 4


class Tangents:
    """What small displacements do to positions, as matrices: a free joint's quaternion turns in its own axes."""

    def __init__(self, m: Any) -> None:
        self.nq, self.nv = m.nq, m.nv
        self.free = bool(m.nq != m.nv)
        if self.free and (int(m.jnt_type[0]) != 0 or m.nq != m.nv + 1):
            raise ValueError("the model may have one free joint, its first")

    def push(self, qpos: np.ndarray) -> np.ndarray:
        """Positions by displacements, (nq, nv)."""
        found = np.zeros((self.nq, self.nv))
        offset = self.nq - self.nv
        found[offset:, :][np.arange(self.nv), np.arange(self.nv)] = 1.0
        if self.free:
            w, x, y, z = qpos[3:7]
            found[:7, :6] = 0.0
            found[:3, :3] = np.eye(3)
            found[3:7, 3:6] = 0.5 * np.array([[-x, -y, -z], [w, -z, y], [z, w, -x], [-y, x, w]])
        return found

    def pull(self, qpos: np.ndarray) -> np.ndarray:
        """Displacements by positions, (nv, nq)."""
        found = self.push(qpos).T
        if self.free:
            found[3:6, 3:7] *= 4.0
        return found


class Mechanism:
    """A model, twice: as it is, and with the one iteration that reverse mode needs."""

    def __init__(self, path: str) -> None:
        import jax
        import mujoco

        mjx: Any = importlib.import_module("mujoco.mjx")
        jax.config.update("jax_enable_x64", True)
        m = mujoco.MjModel.from_binary_path(path)
        self.tangents = Tangents(m)
        as_it_is = self._stepper(mjx, m)
        m.opt.iterations, m.opt.ls_iterations = 1, REVERSE_LINE_SEARCH
        once = self._stepper(mjx, m)
        self.step, self.step_once = jax.jit(as_it_is), jax.jit(once)
        self.forward = jax.jit(lambda *x: (as_it_is(*x), jax.jacfwd(as_it_is, argnums=(0, 1, 3))(*x)))
        self.reverse = jax.jit(lambda x, cotangent: jax.vjp(once, *x)[1](cotangent))

    def _stepper(self, mjx: Any, m: Any) -> Callable[..., Any]:
        model, data = mjx.put_model(m), mjx.make_data(m)

        def step(qpos: Any, qvel: Any, warmstart: Any, ctrl: Any) -> tuple[Any, Any, Any]:
            end = mjx.step(model, data.replace(qpos=qpos, qvel=qvel, qacc_warmstart=warmstart, ctrl=ctrl))
            return end.qpos, end.qvel, end.qacc_warmstart

        return step

    def jacobian(self, qpos: np.ndarray, qvel: np.ndarray, ctrl: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Next state's tangent by the state's and by the control (nx, nx + nu); and the next velocity."""
        end, by = self.forward(qpos, qvel, np.zeros_like(qvel), ctrl)
        push, pull = self.tangents.push(qpos), self.tangents.pull(np.asarray(end[0]))
        rows = []
        for part, back in ((by[0], pull), (by[1], np.eye(len(qvel)))):
            by_qpos, by_qvel, by_ctrl = (back @ np.asarray(x) for x in part)
            rows.append(np.hstack([by_qpos @ push, by_qvel, by_ctrl]))
        return np.vstack(rows), np.asarray(end[1])

    def differences(self, qpos: np.ndarray, qvel: np.ndarray, ctrl: np.ndarray, eps: float) -> np.ndarray:
        """The same matrix by central differences of the same step."""
        push, nv, zero = self.tangents.push(qpos), len(qvel), np.zeros_like(qvel)
        pull = self.tangents.pull(np.asarray(self.step(qpos, qvel, zero, ctrl)[0]))

        def end(move: np.ndarray) -> np.ndarray:
            found = self.step(qpos + push @ move[:nv], qvel + move[nv : 2 * nv], zero, ctrl + move[2 * nv :])
            return np.concatenate([pull @ np.asarray(found[0]), np.asarray(found[1])])

        moves = eps * np.eye(2 * nv + len(ctrl))
        return np.stack([(end(move) - end(-move)) / (2.0 * eps) for move in moves], axis=1)

    def gradient(
        self, start: tuple[np.ndarray, np.ndarray, np.ndarray], ctrl: np.ndarray, steps: int, cotangent: np.ndarray
    ) -> np.ndarray:
        """Of cotangent . tangent of the last state, by the first state and the constant control (nx + nu).

        `start` is qpos, qvel and the solver's warm start.
        """
        path: list[Any] = [start]
        for _ in range(steps):
            path.append(self.step_once(*path[-1], ctrl))
        nv = len(start[1])
        back = (self.tangents.pull(np.asarray(path[-1][0])).T @ cotangent[:nv], cotangent[nv:], np.zeros(nv))
        by_ctrl = np.zeros(len(ctrl))
        for state in reversed(path[:-1]):
            *back, one = self.reverse((*state, ctrl), tuple(back))
            by_ctrl = by_ctrl + np.asarray(one)
        return np.concatenate([self.tangents.push(start[0]).T @ np.asarray(back[0]), np.asarray(back[1]), by_ctrl])


def prepare() -> Mapping[str, Callable[..., Any]]:
    importlib.import_module("mujoco.mjx")
    mechanisms: list[Mechanism] = []

    def load(path: str) -> None:
        mechanisms[:] = [Mechanism(path)]

    def jacobians(states: list[list[list[float]]], ctrl: list[float]) -> list[list[Any]]:
        found = []
        for state in states:
            qpos, qvel = map(np.array, state)
            found.append([x.tolist() for x in mechanisms[0].jacobian(qpos, qvel, np.array(ctrl))])
        return found

    def differences(state: list[list[float]], ctrl: list[float], eps: float) -> Any:
        qpos, qvel = map(np.array, state)
        return mechanisms[0].differences(qpos, qvel, np.array(ctrl), eps).tolist()

    def gradient(start: list[list[float]], ctrl: list[float], steps: int, cotangent: list[float]) -> Any:
        qpos, qvel, warmstart = map(np.array, start)
        found = mechanisms[0].gradient((qpos, qvel, warmstart), np.array(ctrl), steps, np.array(cotangent))
        return found.tolist()

    return {"load": load, "jacobians": jacobians, "differences": differences, "gradient": gradient}


serve(prepare)
