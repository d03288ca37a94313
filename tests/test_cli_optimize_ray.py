"""`gradgym-train --optimize --ray-address`: trials on the nodes of a cluster, one of which is lost."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from ray_cluster import losing_a_node, span, two_nodes
from searches import search_folder, trials

from gradgym import train

ray = pytest.importorskip("ray", reason="needs the extra ray")
pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    with two_nodes(monkeypatch) as found:
        yield found


def test_two_nodes_train_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any) -> None:
    command = [*search_folder(tmp_path, monkeypatch), "--total-timesteps", "2000", "--n-trials", "4", "--n-jobs", "2"]
    assert train.main([*command, "--ray-address", cluster.address]) == 0
    assert [trial.state for trial in trials(tmp_path)] == [TrialState.COMPLETE] * 4
    spans = [span(tmp_path / "search" / f"trial-{number}") for number in range(4)]
    assert any(a[0] < b[1] and b[0] < a[1] for a in spans for b in spans if a is not b)


def test_a_lost_node_costs_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any) -> None:
    command = [*search_folder(tmp_path, monkeypatch), "--total-timesteps", "2000", "--n-trials", "3", "--n-jobs", "2"]
    folder = tmp_path / "search"

    checkpoints = [folder / f"trial-{number}" / "checkpoint.pkl" for number in range(2)]
    thread = losing_a_node(cluster, checkpoints)
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
