"""A Ray cluster on this machine, of two nodes, one of which may be lost."""

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """With a processor each: two jobs at the same time are on different ones."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_worker_niceness", "0")  # on a busy machine nice workers never end
    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args=node)
    found.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    yield found
    ray.shutdown()
    found.shutdown()


def losing_a_node(cluster: Any, checkpoints: list[Path]) -> threading.Thread:
    """Started; loses the node without the driver as soon as these files are there."""

    def lose() -> None:
        while not all(path.exists() for path in checkpoints):
            time.sleep(0.05)
        cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)

    thread = threading.Thread(target=lose, daemon=True)
    thread.start()
    return thread


def span(run_dir: Path) -> tuple[float, float]:
    """When a training began and ended."""
    header = (run_dir / "monitor.csv").read_text().splitlines()[0]
    return json.loads(header.removeprefix("#"))["t_start"], (run_dir / "evaluations.jsonl").stat().st_mtime
