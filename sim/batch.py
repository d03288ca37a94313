"""Worlds in parallel: the loops over worlds and the threads that run them.

Each world is computed alone, by whichever thread is free, with a workspace of that thread's own,
so results do not depend on the number of threads. Threads are plain Python threads that release
the interpreter lock inside kernels: nothing to compile for parallelism, and safe to fork.
"""

import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from ._jit import kernel, sequence
from ._record import Floats
from .data import Data, Lanes
from .forward import forward
from .kinematics import geom_site_poses
from .model import Model
from .step import euler, euler_adj

Kept = TypeVar("Kept")

# Waking a thread costs about half of it [s]; what takes less time is done sooner by the caller alone.
_SHORT = 2e-4
_MANY = 8  # with so many worlds for each thread one of them may be done first, to see how long it takes

_num_threads = max(1, int(os.environ.get("GRADGYM_NUM_THREADS", os.cpu_count() or 1)))
_pool: ThreadPoolExecutor | None = None


def set_num_threads(n: int) -> None:
    """Use up to `n` threads for batches; environment variable GRADGYM_NUM_THREADS sets the start value."""
    global _num_threads, _pool
    if n < 1:
        raise ValueError(f"set_num_threads: {n} threads, need at least 1")
    if _pool is not None:
        _pool.shutdown(wait=False)
    _num_threads, _pool = n, None


def get_num_threads() -> int:
    """How many threads batches may use."""
    return _num_threads


def _forget_pool() -> None:
    global _pool
    _pool = None  # a forked child has none of its parent's threads


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def for_worlds(count: int, work: Callable[[int, int], None]) -> None:
    """Run work(begin, end) over a partition of range(count), on all threads if that is quicker."""
    global _pool
    threads = min(_num_threads, count)
    if threads <= 1:
        work(0, count)
        return
    begin = 0
    if count >= _MANY * threads:
        started = time.perf_counter()
        work(0, 1)
        begin = 1
        if (time.perf_counter() - started) * count < _SHORT:
            work(1, count)
            return
    if _pool is None:
        _pool = ThreadPoolExecutor(_num_threads, thread_name_prefix="gradgym")
    shares = _Shares(begin, count, threads)
    futures = [_pool.submit(shares.run, work) for _ in range(threads - 1)]
    shares.run(work)
    for future in futures:
        if not future.cancel():  # a thread that did not wake up in time has nothing left to do
            future.result()


class _Shares:
    """The worlds of range(begin, end) that no thread has taken yet.

    Worlds differ in cost, by the contacts they have, so each thread takes a share of the rest when
    it is ready: large ones first, to save calls, single worlds last, so that all end together.
    """

    def __init__(self, begin: int, end: int, threads: int) -> None:
        self._next, self._end, self._threads = begin, end, threads
        self._lock = threading.Lock()

    def run(self, work: Callable[[int, int], None]) -> None:
        """Take shares and work on them until none is left."""
        while True:
            with self._lock:
                begin = self._next
                end = self._next = begin + math.ceil((self._end - begin) / (2 * self._threads))
            if begin == end:
                return
            work(begin, end)


class _Borrowed(Generic[Kept]):
    """One of the objects kept in `free`, or a new one, for the time of a `with` block."""

    def __init__(self, free: list[Kept], make: Callable[[], Kept]) -> None:
        self._free = free
        self._kept = free.pop() if free else make()

    def __enter__(self) -> Kept:
        return self._kept

    def __exit__(self, *exception: object) -> None:
        self._free.append(self._kept)


def workspace(model: Model) -> _Borrowed[Data]:
    """A `Data` of the model for the current thread, kept for later calls."""
    free = model.__dict__.setdefault("_free_data", [])
    return _Borrowed(free, lambda: Data.for_model(model))


def adjoint_workspace(model: Model, nlane: int, with_params: bool = False) -> _Borrowed[Lanes]:
    """A `Lanes` of the model for the current thread, kept for later calls."""
    free = model.__dict__.setdefault("_free_lanes", {}).setdefault((nlane, with_params), [])
    return _Borrowed(free, lambda: Lanes.for_model(model, nlane, with_params))


@kernel
def load_world(m: Model, d: Data, qpos: Floats, qvel: Floats, act: Floats) -> None:
    """Copy one world's state into the workspace."""
    for i in range(m.nq):
        d.qpos[i] = qpos[i]
    for i in range(m.nv):
        d.qvel[i] = qvel[i]
        d.qacc_warmstart[i] = 0.0  # so that results do not depend on what ran before
    for i in range(m.na):
        d.act[i] = act[i]


@kernel
def store_world(m: Model, d: Data, qpos: Floats, qvel: Floats, act: Floats) -> None:
    """Copy the workspace's state out."""
    for i in range(m.nq):
        qpos[i] = d.qpos[i]
    for i in range(m.nv):
        qvel[i] = d.qvel[i]
    for i in range(m.na):
        act[i] = d.act[i]


step, step_adj = euler, euler_adj  # stand-ins: `entry_points.py` binds the integrator's own


@kernel
def forward_world(m: Model, d: Data) -> None:
    """Everything that `sim.forward` reports, for the state in `d`."""
    forward(m, d)
    geom_site_poses(m, d)


@kernel
def rollout_worlds(
    begin: int,
    end: int,
    m: Model,
    d: Data,
    qpos: Floats,
    qvel: Floats,
    act: Floats,
    warmstart: Floats,
    ctrl: Floats,
    n_steps: int,
    interval: int,
) -> None:
    """`n_steps` steps under each of ctrl[b, :], from qpos[b, 0] etc., for b in [begin, end).

    Fills qpos[b, k] etc. by the states after every `interval` controls and after the last one. Row
    k of `warmstart` (worlds, rows, nv), if it has rows, gets what the solver starts from there.
    """
    steps = ctrl.shape[1]
    for b in range(begin, end):
        load_world(m, d, qpos[b, 0], qvel[b, 0], act[b, 0])
        for t in range(steps):
            k = t // interval
            if t % interval == 0 and warmstart.shape[1] > 0:
                for v in range(m.nv):
                    warmstart[b, k, v] = d.qacc_warmstart[v]
            for i in range(m.nu):
                d.ctrl[i] = ctrl[b, t, i]
            for _ in range(n_steps):
                step(m, d)
            if (t + 1) % interval == 0 or t + 1 == steps:
                store_world(m, d, qpos[b, k + 1], qvel[b, k + 1], act[b, k + 1])


@kernel
def _add_cotangent(m: Model, w: Lanes, cotangent: Floats) -> None:
    for i in range(m.nv):
        for k in range(w.nlane):
            w.qpos_adj[i, k] += cotangent[i, k]
            w.qvel_adj[i, k] += cotangent[m.nv + i, k]
    for i in range(m.na):
        for k in range(w.nlane):
            w.act_adj[i, k] += cotangent[2 * m.nv + i, k]


@kernel
def clear_cotangent(w: Lanes) -> None:
    w.qpos_adj[:] = 0.0
    w.qvel_adj[:] = 0.0
    w.act_adj[:] = 0.0


@sequence
def steps_adj(m: Model, d: Data, w: Lanes, scratch_qpos: Floats, scratch_qvel: Floats, scratch_act: Floats) -> None:
    """Adjoint of scratch_qpos.shape[0] steps under one control, from the state in `d`; sets ctrl_adj."""
    n_steps = scratch_qpos.shape[0]
    w.ctrl_adj[:] = 0.0
    for s in range(n_steps - 1):
        store_world(m, d, scratch_qpos[s], scratch_qvel[s], scratch_act[s])
        step(m, d)
    for s in range(n_steps - 1, -1, -1):
        if s < n_steps - 1:
            load_world(m, d, scratch_qpos[s], scratch_qvel[s], scratch_act[s])
        step_adj(m, d, w)


@kernel
def rollout_adj_worlds(
    begin: int,
    end: int,
    m: Model,
    d: Data,
    w: Lanes,
    scratch_qpos: Floats,
    scratch_qvel: Floats,
    scratch_act: Floats,
    block_qpos: Floats,
    block_qvel: Floats,
    block_act: Floats,
    qpos: Floats,
    qvel: Floats,
    act: Floats,
    warmstart: Floats,
    ctrl: Floats,
    cotangent: Floats,
    state_adj: Floats,
    ctrl_adj: Floats,
) -> None:
    """Reverse of `rollout_worlds`, one lane per cotangent column.

    From `cotangent` (worlds, checkpoints, nx, nlane) of the states fill state_adj (worlds, nx, nlane)
    of the first state and ctrl_adj (worlds, steps, nu, nlane). The number of steps per control is
    scratch_qpos.shape[0], that of controls per checkpoint block_qpos.shape[0].
    """
    interval = block_qpos.shape[0]
    for b in range(begin, end):
        clear_cotangent(w)
        for block in range(qpos.shape[1] - 2, -1, -1):
            _add_cotangent(m, w, cotangent[b, block + 1])
            first = block * interval
            last = min(first + interval, ctrl.shape[1]) - 1
            load_world(m, d, qpos[b, block], qvel[b, block], act[b, block])
            if warmstart.shape[1] > 0:
                for v in range(m.nv):
                    d.qacc_warmstart[v] = warmstart[b, block, v]
            for t in range(first, last + 1):
                store_world(m, d, block_qpos[t - first], block_qvel[t - first], block_act[t - first])
                if t < last:
                    for i in range(m.nu):
                        d.ctrl[i] = ctrl[b, t, i]
                    for _ in range(scratch_qpos.shape[0]):
                        step(m, d)
            for t in range(last, first - 1, -1):
                load_world(m, d, block_qpos[t - first], block_qvel[t - first], block_act[t - first])
                for i in range(m.nu):
                    d.ctrl[i] = ctrl[b, t, i]
                steps_adj(m, d, w, scratch_qpos, scratch_qvel, scratch_act)
                for i in range(m.nu):
                    for k in range(w.nlane):
                        ctrl_adj[b, t, i, k] = w.ctrl_adj[i, k]
        _add_cotangent(m, w, cotangent[b, 0])
        for i in range(m.nv):
            for k in range(w.nlane):
                state_adj[b, i, k] = w.qpos_adj[i, k]
                state_adj[b, m.nv + i, k] = w.qvel_adj[i, k]
        for i in range(m.na):
            for k in range(w.nlane):
                state_adj[b, 2 * m.nv + i, k] = w.act_adj[i, k]
