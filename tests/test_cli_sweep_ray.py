"""`gradgym-train --seeds --ray-address`, and benchmarks: runs on the nodes of a cluster, one of which is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from children import started, wait_for_a_checkpoint
from ray_cluster import losing_a_node, span, two_nodes
from searches import search_folder
from snippets import ROOT
from sweeps import returns

from gradgym import train

ray = pytest.importorskip("ray", reason="needs the extra ray")
pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    with two_nodes(monkeypatch) as found:
        yield found


def sweep_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    command = search_folder(path, monkeypatch)[1:]
    return [*command[: command.index("--search-space")], "--total-timesteps", "2000"]


def assert_as_alone(folder: Path, command: list[str], seeds: range) -> None:
    for seed in seeds:
        assert train.main([*command, "--seed", str(seed), "--run-dir", f"alone-{seed}"]) == 0
        one, other = folder / f"seed-{seed}", Path(f"alone-{seed}")
        files = [run_dir / "final_policy.safetensors" for run_dir in (one, other)]
        assert files[0].read_bytes() == files[1].read_bytes() and returns(one) == returns(other)


def test_two_nodes_and_the_loss_of_one_train_as_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any
) -> None:
    command, folder = sweep_folder(tmp_path, monkeypatch), tmp_path / "sweep"
    thread = losing_a_node(cluster, [folder / f"seed-{seed}" / "checkpoint.pkl" for seed in range(2)])
    sweep = [*command, "--seeds", "0", "1", "2", "--run-dir", "sweep", "--ray-address", cluster.address]
    assert train.main(sweep) == 0
    thread.join(1)
    assert not thread.is_alive()
    first, second = (span(folder / f"seed-{seed}") for seed in range(2))
    assert first[0] < second[1] and second[0] < first[1]  # at the same time, as many as there are processors
    assert_as_alone(folder, command, range(3))


def test_the_command_that_was_killed_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed, then interrupted, then left alone."""
    command, folder = sweep_folder(tmp_path, monkeypatch), tmp_path / "sweep"
    sweep = [*command, "--seeds", "0", "1", "--run-dir", "sweep", "--ray-address", cluster.address]
    child = started(sweep, tmp_path)
    wait_for_a_checkpoint(child, folder / "seed-0")
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    before = (folder / "seed-0" / "checkpoint.pkl").stat().st_mtime_ns
    child = started(sweep, tmp_path)
    while (folder / "seed-0" / "checkpoint.pkl").stat().st_mtime_ns == before and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=100)
    assert child.returncode == 130
    assert error.strip().splitlines()[-1] == "gradgym-train: interrupted; the same command goes on"
    assert not (folder / "seed-0" / "final_policy.safetensors").exists()
    assert train.main(sweep) == 0
    assert_as_alone(folder, command, range(2))


def test_rows_of_a_benchmark_come_from_the_cluster(tmp_path: Path, cluster: Any) -> None:
    """The script itself is the module of what it asks the nodes for."""
    script, results = ROOT / "benchmarks" / "pendulum_table4.py", tmp_path / "results.json"
    places = ["--work-dir", str(tmp_path / "work"), "--results", str(results), "--ray-address", cluster.address]
    command = [sys.executable, str(script), "--quick", "--methods", "policy", "sac", *places]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    rows = json.loads(results.read_text())["rows"]
    assert [(row["method"], row["env_steps"]) for row in rows] == [("policy", 600), ("sac", 600)]
    first, second = (span(tmp_path / "work" / f"1-{method}-0") for method in ("policy", "sac"))
    assert first[0] < second[1] and second[0] < first[1]
