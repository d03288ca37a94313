"""The policies that come with the package, and the commands that show them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pretrained as benchmark
import pytest

import gradgym
from gradgym import demo, evaluate
from gradgym.agents.pretrained import FOLDER, available, ids
from gradgym.agents.training import watching
from gradgym.agents.training.policy_file import PolicyFile

PENDULUM = "gradgym/NLinkPendulum-v0"


@pytest.mark.parametrize("path", available(), ids=lambda path: path.stem)
def test_every_policy_acts(path: Path) -> None:
    policy = gradgym.load_policy(path)
    env = policy.make_env()
    env.observation_space.seed(0)
    obs = np.stack([np.clip(env.observation_space.sample(), -1.0, 1.0) for _ in range(4)])
    actions, _ = policy.predict(obs, deterministic=True)
    assert actions.shape == (4, *(env.action_space.shape or ()))
    assert env.action_space.contains(actions[0]) and np.ptp(actions, axis=0).max() > 1e-3
    env.close()


def test_the_package_stays_small() -> None:
    assert 0 < sum(path.stat().st_size for path in available()) < 1_000_000


def test_a_policy_is_found_by_environment_and_arguments() -> None:
    policy = gradgym.pretrained("gradgym/NLinkPendulum")
    assert (policy.header.env, policy.header.env_kwargs) == (PENDULUM, {"n_links": 3})
    assert gradgym.pretrained(PENDULUM, n_links=3).header == policy.header
    assert len(set(ids(available()))) == len(ids(available()))
    with pytest.raises(ValueError, match=f"{PENDULUM} with n_links:4: no policy comes with gradgym; .* with n_links:3"):
        gradgym.pretrained(PENDULUM, n_links=4)
    for env in ("gradgym/Nothing-v0", "CartPole-v1"):
        with pytest.raises(ValueError, match=f"{env}: no policy comes with gradgym; there are those of gradgym/Ant-v0"):
            gradgym.pretrained(env)


def test_the_results_are_of_the_packages_policies() -> None:
    rows = benchmark.chosen(benchmark.BENCHMARK.rows())
    assert {path.stem for path in available()} == rows.keys()
    for name, row in rows.items():
        header = PolicyFile.read(FOLDER / f"{name}.safetensors").header
        assert (header.algo, header.env, header.env_kwargs) == benchmark.POLICIES[name]
        assert header.num_timesteps == row["steps_of_best"] <= row["env_steps"]
        assert {"sim", "mujoco"} <= row["returns"].keys()


def test_one_is_evaluated_and_filmed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = benchmark.chosen(benchmark.BENCHMARK.rows())["NLinkPendulum-3"]
    assert evaluate.main(["--pretrained", PENDULUM, "--backend", "sim", "--episodes", "1"]) == 0
    assert float(capsys.readouterr().out.split()[2]) == pytest.approx(row["returns"]["sim"]["mean"], abs=1e-3)
    video = tmp_path / "film.mp4"
    assert demo.main([PENDULUM, "--env-kwargs", "n_links:3", "--video", str(video)]) == 0
    assert re.fullmatch(rf"Video: {re.escape(str(video))} \(480x480, \d+ frames, [\d.]+ s\)\n", capsys.readouterr().out)
    assert video.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "give a run folder, a policy file, or --pretrained ENV: one of them"),
        (["run", "--pretrained", PENDULUM], "one of them"),
        (["run", "--env-kwargs", "n_links:3"], "--env-kwargs n_links:3: a file has its own"),
        (["--pretrained", "CartPole-v1"], "CartPole-v1: no policy comes with gradgym"),
        (["--pretrained", PENDULUM, "--env-kwargs", "n_links"], "key:value"),
        (["nothing.safetensors"], "nothing.safetensors: no such file"),
        (["nothing"], "nothing: no run folder"),
    ],
)
def test_evaluations_that_cannot_be(arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert part in error and error.count("\n") == 0


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["CartPole-v1", "--video", "a.mp4"], "CartPole-v1: no policy comes with gradgym"),
        (["--video", "a.txt"], "--video a.txt: give the file one of the suffixes"),
        (["--episodes", "0"], "--episodes 0: must be at least 1"),
        (["--seed", "-1"], "--seed -1: must not be negative"),
        ([], "a window needs a display and DISPLAY is not set; film it with --video FILE.mp4"),
    ],
)
def test_demonstrations_that_cannot_be(
    arguments: list[str],
    part: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watching, "has_display", lambda: False)
    assert demo.main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert part in error and error.count("\n") == 0
    assert not list(tmp_path.iterdir())


def test_the_window_shows_the_policys_episodes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def seen(policy: Any, env: Any, episodes: int, seed: int) -> list[float]:
        asked.append((env.spec.id, episodes, seed))
        return [1.0] * episodes

    monkeypatch.setattr(demo, "check_window", lambda env, name: None)
    monkeypatch.setattr(demo, "view", seen)
    assert demo.main([PENDULUM, "--episodes", "2"]) == 0
    assert asked == [(PENDULUM, 2, 0)]
    assert capsys.readouterr().out.count("Return: ") == 2


def test_names_of_the_package_import_nothing_before_they_are_called(tmp_path: Path) -> None:
    code = "import sys, gradgym; gradgym.pretrained; gradgym.load_policy; print('gradgym.agents' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


@pytest.mark.slow
def test_the_benchmark_trains_and_installs(tmp_path: Path) -> None:
    script = Path(benchmark.__file__)
    places = ["--work-dir", str(tmp_path / "work"), "--results", str(tmp_path / "results.json")]
    command = [sys.executable, str(script), *places, "--folder", str(tmp_path / "policies"), "--quick", "--jobs", "1"]
    subprocess.run([*command, "--only", "NLinkPendulum-3", "--seeds", "0"], check=True)
    (row,) = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert available(tmp_path / "policies") == {
        tmp_path / "policies" / "NLinkPendulum-3.safetensors": (PENDULUM, {"n_links": 3})
    }
    assert row["returns"]["sim"]["mean"] == pytest.approx(row["returns"]["mujoco"]["mean"], abs=1e-3)
