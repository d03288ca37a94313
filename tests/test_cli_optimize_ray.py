"""`gradgym-train --optimize --ray-address`: trials on the nodes of a cluster, one of which is lost."""

import json
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from searches import search_folder, trials

from gradgym import train

ray = pytest.importorskip("ray", reason="needs the extra ray")
pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """Two nodes with a processor each: two trials at the same time are on different ones."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_worker_niceness", "0")  # on a busy machine nice workers never end
    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args=node)
    found.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    yield found
    ray.shutdown()
    found.shutdown()


def span(run_dir: Path) -> tuple[float, float]:
    """When a trial began and ended."""
    header = (run_dir / "monitor.csv").read_text().splitlines()[0]
    return json.loads(header.removeprefix("#"))["t_start"], (run_dir / "evaluations.jsonl").stat().st_mtime


def test_two_nodes_train_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any) -> None:
    command = [*search_folder(tmp_path, monkeypatch), "--total-timesteps", "2000", "--n-trials", "4", "--n-jobs", "2"]
    assert train.main([*command, "--ray-address", cluster.address]) == 0
    assert [trial.state for trial in trials(tmp_path)] == [TrialState.COMPLETE] * 4
    spans = [span(tmp_path / "search" / f"trial-{number}") for number in range(4)]
    assert any(a[0] < b[1] and b[0] < a[1] for a in spans for b in spans if a is not b)


def test_a_lost_node_costs_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any) -> None:
    command = [*search_folder(tmp_path, monkeypatch), "--total-timesteps", "2000", "--n-trials", "3", "--n-jobs", "2"]
    folder = tmp_path / "search"

    def lose() -> None:
        while not all((folder / f"trial-{number}" / "checkpoint.pkl").exists() for number in range(2)):
            time.sleep(0.05)
        cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)

    thread = threading.Thread(target=lose, daemon=True)
    thread.start()
    assert train.main([*command, "--ray-address", cluster.address]) == 0
    thread.join(1)
    assert not thread.is_alive()
    assert [trial.state for trial in trials(tmp_path)] == [TrialState.COMPLETE] * 3


def test_no_cluster_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = search_folder(tmp_path, monkeypatch)
    for address, part in (("127.0.0.1:1", "refused"), ("here:there", "invalid literal"), ("auto", "Ray instance")):
        assert train.main([*command, "--ray-address", address]) == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert f"--ray-address {address}: " in line and part in line
