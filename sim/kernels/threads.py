"""Worlds in parallel: the threads that run kernels over a batch.

Each world is computed alone, by whichever thread is free, with a workspace of that thread's own
(`model/workspaces.py`), so results do not depend on the number of threads. Threads are plain Python
threads that release the interpreter lock inside kernels: nothing to compile for parallelism, and safe to fork.
"""

import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

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
