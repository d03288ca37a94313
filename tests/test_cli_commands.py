import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import torch
import yaml
from short_runs import ENHANCED, FEW_UPDATES, TRAIN, evaluations, weights

from gradgym import evaluate, train
from gradgym.agents.training import evaluation
from gradgym.agents.training.checkpoint import load_checkpoint
from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.evaluation import read_evaluations
from gradgym.agents.training.native_vec_env import NativeVecEnv
from gradgym.agents.training.run import Run

SAMPLED = [*TRAIN, "--algo", "mbpo", "--enhancement", "sample"]
# Windows of 20 steps of 8 environments: checkpoints fall into the middle of episodes, which have 100.
ANALYTIC = [*TRAIN, "--hyperparams", "n_envs:8", "horizon:20", "eval_freq:800", "checkpoint_freq:480"]


def test_a_run_leaves_what_it_promises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = tmp_path / "run"
    assert train.main([*ENHANCED, "--total-timesteps", "800", "--run-dir", str(run_dir)]) == 0
    printed = capsys.readouterr().out
    assert "maximum 0.5000" in printed
    names = {path.name for path in run_dir.iterdir()}
    assert {
        "config.yaml",
        "checkpoint.pkl",
        "best_policy.safetensors",
        "final_policy.safetensors",
        "evaluations.jsonl",
    } <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    assert config["total_timesteps"] == 800 and config["env_kwargs"] == {"n_links": 1} and "torch" in config["versions"]
    best = max(e["mean"] for e in read_evaluations(run_dir))
    assert f"best {best:.4f}" in printed

    video = tmp_path / "episode.mp4"
    arguments = [str(run_dir), "--backend", "sim", "mujoco", "--episodes", "2", "--video", str(video)]
    assert evaluate.main(arguments) == 0
    lines = {line.split()[0]: float(line.split()[2]) for line in capsys.readouterr().out.splitlines() if "+-" in line}
    assert lines["sim"] == pytest.approx(best, abs=1e-3)
    assert lines["mujoco"] == pytest.approx(best, abs=1e-2)
    assert video.stat().st_size > 10_000


ROOT = Path(__file__).parents[1]


def run_file(name: str, *arguments: str, folder: Path) -> tuple[str, set[str]]:
    """What `python <root>/<name> ...` prints when it is called in `folder`, and the names of all modules it imports."""
    command = [sys.executable, "-X", "importtime", str(ROOT / name), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return done.stdout, {line.rpartition("|")[2].strip() for line in lines}


def test_both_commands_run_as_files_from_any_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then the repository is on the module path: its folders must not be imported beside the package's modules."""
    command = [*TRAIN, "--algo", "ppo", "--total-timesteps", "100", "--hyperparams", "n_steps:100", "batch_size:50"]
    trained, modules = run_file("train.py", *command, "--run-dir", "run", folder=tmp_path)
    own = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path.is_dir() and path.name.isidentifier())}
    assert {"sim", "envs", "agents", "train", "evaluate"} <= own
    assert "gradgym.agents" in modules and not modules & own
    shown, modules = run_file("evaluate.py", "run", "--backend", "sim", "mujoco", "--episodes", "2", folder=tmp_path)
    assert "gradgym.agents" in modules and not modules & own
    assert [line.split()[0] for line in shown.splitlines()] == ["sim", "mujoco"]
    # What the file saved is not of the module __main__: the installed command goes on with it.
    assert train.main(["--resume", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.splitlines()[1] == trained.splitlines()[1]


@pytest.mark.parametrize(
    "command",
    [
        [*ENHANCED, "--hyperparams", *FEW_UPDATES],
        [*SAMPLED, "--hyperparams", *FEW_UPDATES],
        [*ANALYTIC, "--algo", "shac"],
        [*ANALYTIC, "--algo", "bptt"],
        [*TRAIN, "--algo", "ilqr", "--hyperparams", "eval_freq:800", "checkpoint_freq:480"],
    ],
    ids=["policy", "sample", "shac", "bptt", "ilqr"],
)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(command: list[str], tmp_path: Path) -> None:
    command = [*command, "--total-timesteps", "3000"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train.main([*command, "--run-dir", str(whole)]) == 0
    child = subprocess.Popen(
        [sys.executable, "-m", "gradgym.train", *command, "--run-dir", str(killed)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (killed / "checkpoint.pkl").exists() and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not (killed / "final_policy.safetensors").exists(), "killed too late to show anything"
    assert train.main(["--resume", str(killed)]) == 0
    assert torch.equal(weights(whole), weights(killed))
    assert evaluations(whole) == evaluations(killed)
    seconds = [e["seconds"] for e in read_evaluations(killed)]
    assert seconds == sorted(seconds) and seconds[0] > 0.0


@pytest.mark.parametrize("algorithm", ["mbpo", "sac", "ppo", "shac", "bptt", "ilqr"])
def test_equal_seeds_give_equal_runs(algorithm: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        command = [*TRAIN, "--algo", algorithm, "--total-timesteps", "1000", "--run-dir", str(tmp_path / name)]
        few = {"ppo": [], "shac": ["n_envs:4"], "bptt": ["n_envs:4"], "ilqr": []}.get(algorithm, ["gradient_steps:10"])
        assert train.main([*command, "--hyperparams", "eval_freq:500", *few]) == 0
    assert torch.equal(weights(tmp_path / "a"), weights(tmp_path / "b"))
    returns = [[e["mean"] for e in read_evaluations(tmp_path / name)] for name in ("a", "b")]
    assert returns[0] == returns[1] and np.all(np.isfinite(returns))


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--env", "gradgym/Nothing-v0"], "Nothing"),
        (["--env-kwargs", "n_links:0"], "n_links=0"),
        (["--env-kwargs", "n_links"], "key:value"),
        (["--hyperparams", "learning_rat:1"], "learning_rat"),
        (["--algo", "sac", "--enhancement", "policy"], "enhancement='policy': --algo sac has no such setting"),
        (["--enhancement", "samples"], "enhancement='samples': choose"),
        (["--env", "CartPole-v1", "--enhancement", "policy"], "gradients"),
        (["--total-timesteps", "-5"], "total_timesteps=-5"),
        (["--env-kwargs", "max_episode_steps:-1"], "max_episode_steps=-1"),
        (["--env-kwargs", "max_episode_steps:0"], "`max_episode_steps` to be positive"),
        (["--algo", "bptt", "--hyperparams", "train_env_kwargs.max_episode_steps:-1"], "with max_episode_steps"),
        (["--hyperparams", "max_minutes:0"], "max_minutes=0"),
        (["--hyperparams", "eval_seconds:often"], "eval_seconds='often'"),
        (["--hyperparams", "train_env_kwargs:1"], "train_env_kwargs=1"),
        (["--env", "gradgym/Hopper-v0", "--hyperparams", "train_env_kwargs.softness:1"], "'softness'"),
        (["--algo", "shac", "--env", "CartPole-v1"], "an environment of gradgym's"),
        (["--algo", "bptt", "--env-kwargs", "backend:mujoco"], "backend='mujoco'"),
        (["--algo", "sac", "--hyperparams", "n_envs:0"], "n_envs=0"),
        (["--algo", "ppo", "--hyperparams", "n_envs:0"], "num_envs=0"),
        (["--resume", "nowhere"], "config.yaml is missing"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(
    arguments: list[str], part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [] if "--resume" in arguments else ["--run-dir", str(tmp_path / "run")]
    assert train.main([*arguments, *where]) == 2
    error = capsys.readouterr().err.strip()
    assert part in error and error.count("\n") == 0
    assert not (tmp_path / "run").exists()


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    assert train.main([*ENHANCED, "--run-dir", str(tmp_path)]) == 2
    assert "--resume" in capsys.readouterr().err


def test_evaluate_needs_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([str(tmp_path)]) == 2
    assert "config.yaml is missing" in capsys.readouterr().err


def test_one_policy_on_all_backends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten steps of a hopper that was hardly trained: alike in all three."""
    run_dir, video = tmp_path / "run", tmp_path / "episode.mp4"
    command = ["--algo", "ppo", "--env", "gradgym/Hopper-v0", "--env-kwargs", "max_episode_steps:10"]
    settings = ["--total-timesteps", "256", "--hyperparams", "n_steps:256", "--run-dir", str(run_dir)]
    assert train.main([*command, "healthy_reward:2.0", *settings]) == 0
    capsys.readouterr()
    assert evaluate.main([str(run_dir), "--backend", "sim", "mujoco", "gymnasium", "--episodes", "3"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "+-" in line]
    assert [words[0] for words in lines] == ["sim", "mujoco", "gymnasium"]
    returns = [float(words[2]) for words in lines]
    assert returns[0] == pytest.approx(20.0, abs=3.0)
    assert returns[1:] == pytest.approx([returns[0]] * 2, rel=1e-4)
    for words, mean in zip(lines[1:], returns[1:], strict=True):
        gap = words.index("gap")
        assert words[gap + 2] == "sim" and words[gap + 5] == "%)"
        assert float(words[gap + 3]) == pytest.approx(mean - returns[0], abs=2e-4)
        assert float(words[gap + 4].strip("(")) == pytest.approx(100 * (mean / returns[0] - 1), abs=2e-3)
    alone = [str(run_dir), "--backend", "gymnasium", "--episodes", "1", "--video", str(video)]
    assert evaluate.main(alone) == 0
    assert "gap" not in capsys.readouterr().out
    assert video.stat().st_size > 5_000
    sized = ["--video-size", "64x48", "--video-seconds", "0.2"]
    assert evaluate.main([*alone, *sized]) == 0
    assert capsys.readouterr().out.endswith(f"Video: {video} (64x48, 25 frames, 0.2 s)\n")


def test_a_policy_is_shown_in_a_window(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place of the evaluation, on the first backend."""
    assert train.main([*TRAIN, "--algo", "ppo", "--total-timesteps", "100", "--run-dir", str(tmp_path)]) == 0
    seen: list[Any] = []

    def shown(policy: Any, env: Any, episodes: int, seed: int) -> list[float]:
        seen.append((env.unwrapped.task.backend_name, episodes, seed))
        return [2.0, 4.0][: episodes - 1]

    monkeypatch.setattr(evaluate, "check_window", lambda *_: None)
    monkeypatch.setattr(evaluate, "view", shown)
    capsys.readouterr()
    for episodes, line in ((3, "mujoco    return 3.0000 +- 1.0000 over 2 episodes"), (1, "Window closed before")):
        command = ["--view", "--backend", "mujoco", "sim", "--episodes", str(episodes), "--seed", "5"]
        assert evaluate.main([str(tmp_path), *command]) == 0
        assert capsys.readouterr().out.startswith(line)
    assert seen == [("mujoco", 3, 5), ("mujoco", 1, 5)]


def test_a_task_of_our_own_has_no_counterpart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main([*TRAIN, "--algo", "ppo", "--total-timesteps", "1000", "--run-dir", str(tmp_path)]) == 0
    assert evaluate.main([str(tmp_path), "--backend", "sim", "gymnasium"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.endswith("error: --backend gymnasium: Gymnasium has no environment that is gradgym/NLinkPendulum-v0")


@pytest.mark.parametrize("algorithm", ["shac", "ppo"])
def test_arguments_for_the_training_alone(algorithm: str, tmp_path: Path) -> None:
    """Merged into the preset's, kept in the configuration, and unknown to evaluations."""
    command = ["--algo", algorithm, "--env", "gradgym/Hopper-v0", "--env-kwargs", "max_episode_steps:10"]
    changes = ["train_env_kwargs.contact_softness:0.02", "train_env_kwargs.integrator:Euler", "n_envs:4"]
    length = ["horizon:8" if algorithm == "shac" else "n_steps:8", "batch_size:16"][: 1 + (algorithm == "ppo")]
    arguments = [*command, "--total-timesteps", "64", "--hyperparams", *changes, *length, "--run-dir", str(tmp_path)]
    assert train.main(arguments) == 0
    config = RunConfig.read(tmp_path)
    assert config.train_env_kwargs == {"contact_softness": 0.02, "integrator": "Euler"}
    algo = load_checkpoint(tmp_path / "checkpoint.pkl").algorithm
    assert isinstance(algo.env, NativeVecEnv) and algo.env.num_envs == 4
    trained, evaluated = algo.env.envs.task.model, Run(config, tmp_path).eval_env.unwrapped.task.model  # pyright: ignore[reportAttributeAccessIssue]
    integrators = [int(model.mj_model.opt.integrator) for model in (trained, evaluated)]
    assert integrators == [mujoco.mjtIntegrator.mjINT_EULER, mujoco.mjtIntegrator.mjINT_RK4]
    assert (trained.contact_softness, evaluated.contact_softness) == (0.02, 0.0)
    assert algo.env.envs.max_episode_steps == 10


class SlowEvaluation:
    """Takes 0.3 s longer than an evaluation does."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        time.sleep(0.3)
        return self.function(*arguments)


def test_minutes_end_a_training_and_evaluations_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "evaluate_returns", SlowEvaluation(evaluation.evaluate_returns))
    changes = ["max_minutes:0.05", "eval_seconds:0.5", "n_envs:2", "horizon:10"]
    command = [*TRAIN, "--algo", "bptt", "--total-timesteps", "1000000", "--hyperparams", *changes]
    start = time.monotonic()
    assert train.main([*command, "--run-dir", str(tmp_path)]) == 0
    wall = time.monotonic() - start
    seconds = np.array([e["seconds"] for e in read_evaluations(tmp_path)])
    assert 3.0 <= seconds[-1] < wall
    assert wall > seconds[-1] + 0.3 * len(seconds)
    assert len(seconds) >= 4 and np.diff(seconds)[:-1].min() >= 0.5
    found = load_checkpoint(tmp_path / "checkpoint.pkl")
    assert found.seconds == pytest.approx(seconds[-1], abs=0.05)
    # What was spent counts: nothing is left to do.
    assert train.main(["--resume", str(tmp_path)]) == 0
    assert load_checkpoint(tmp_path / "checkpoint.pkl").algorithm.num_timesteps == found.algorithm.num_timesteps
    assert len(read_evaluations(tmp_path)) == len(seconds)


@pytest.mark.slow
def test_enhancement_swings_three_links_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*TRAIN[:2], "--env-kwargs", "n_links:3", "--seed", "0", "--enhancement", "policy"]
    assert train.main([*command, "--total-timesteps", "15000", "--run-dir", str(tmp_path / "run")]) == 0
    assert max(e["mean"] for e in read_evaluations(tmp_path / "run")) > 4.28


def benchmark(name: str, *arguments: str) -> str:
    script = ROOT / "benchmarks" / f"{name}.py"
    return subprocess.run([sys.executable, str(script), *arguments], check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_benchmark_runs_and_goes_on(tmp_path: Path) -> None:
    places = ["--work-dir", str(tmp_path / "work"), "--results", str(tmp_path / "results.json")]
    benchmark("pendulum_table4", *places, "--quick", "--methods", "policy")
    benchmark("pendulum_table4", *places, "--quick", "--methods", "policy", "sac")
    assert len(list((tmp_path / "work" / "pendulum_table4-rows").glob("*.json"))) == 2
    shown = benchmark("pendulum_table4", *places, "--table", "--plot", str(tmp_path / "p.png"))
    assert "SAC" in shown and (tmp_path / "p.png").stat().st_size > 10_000


@pytest.mark.slow
def test_benchmark_of_bptt_runs(tmp_path: Path) -> None:
    results = ["--results", str(tmp_path / "results.json")]
    benchmark("pendulum_bptt", "--work-dir", str(tmp_path / "work"), *results, "--quick", "--jobs", "1")
    assert benchmark("pendulum_bptt", *results, "--table").splitlines()[-1].startswith("| 5 | 12.5 | 12.4 |")


@pytest.mark.slow
def test_benchmark_of_targets_runs(tmp_path: Path) -> None:
    results = ["--results", str(tmp_path / "results.json")]
    benchmark("target_trainings", "--work-dir", str(tmp_path / "work"), *results, "--quick", "--jobs", "1")
    assert benchmark("target_trainings", *results, "--table").splitlines()[-1].startswith("| golf | 0 | ")


@pytest.mark.slow
def test_benchmark_of_manipulation_runs(tmp_path: Path) -> None:
    results, work = ["--results", str(tmp_path / "results.json")], ["--work-dir", str(tmp_path / "work")]
    benchmark("manipulation_trainings", *work, *results, "--quick", "--jobs", "1")
    shown = benchmark("manipulation_trainings", *results, "--table").splitlines()[-1]
    assert shown.startswith("| two fingers | consistency in real contact | ")
    for option, more in (("--plot", results), ("--strips", work)):
        benchmark("manipulation_trainings", *more, option, str(tmp_path / "picture.png"))
        assert (tmp_path / "picture.png").stat().st_size > 5_000


@pytest.mark.slow
def test_benchmark_of_the_relaxed_losses_runs(tmp_path: Path) -> None:
    results = ["--results", str(tmp_path / "results.json")]
    benchmark("consistency_figure5", "--work-dir", str(tmp_path / "work"), *results, "--quick", "--jobs", "1")
    assert benchmark("consistency_figure5", *results, "--table").splitlines()[-1].startswith("| Gauss-Newton | ")


@pytest.mark.slow
def test_benchmark_of_contact_runs(tmp_path: Path) -> None:
    results = ["--results", str(tmp_path / "results.json")]
    benchmark("contact_speed", *results, "--quick")
    assert "Ant, Euler" in benchmark("contact_speed", *results, "--table")
    assert "constraint rows" in benchmark("contact_speed", "--profile", "--cases", "Ant, Euler")


@pytest.mark.slow
def test_benchmarks_of_the_ant_run(tmp_path: Path) -> None:
    work = ["--work-dir", str(tmp_path / "work"), "--quick", "--jobs", "1"]
    for name, count in (("ant_figure5", 5), ("ant_table5", 3), ("ant_patches", 1)):
        results = ["--results", str(tmp_path / f"{name}.json")]
        benchmark(name, *work, *results)
        assert len(json.loads((tmp_path / f"{name}.json").read_text())["rows"]) == count
        lines = 5 if name == "ant_patches" else count  # one for each size
        assert len(benchmark(name, *results, "--table").splitlines()) == 2 + lines
    figure = tmp_path / "figure.png"
    benchmark("ant_figure5", "--results", str(tmp_path / "ant_figure5.json"), "--plot", str(figure))
    assert figure.stat().st_size > 10_000
    # The policies of the figure are those of the table: nothing was trained twice.
    assert len(list((tmp_path / "work" / "sac-sample-0").glob("events*"))) == 1


@pytest.mark.slow
def test_benchmarks_of_shac_run(tmp_path: Path) -> None:
    work = ["--work-dir", str(tmp_path / "work"), "--quick", "--jobs", "1"]
    for name, rows, lines in (("locomotion_clock", 6, 8), ("shac_sweep", 2, 2)):
        results = ["--results", str(tmp_path / f"{name}.json")]
        benchmark(name, *work, *results)
        assert len(json.loads((tmp_path / f"{name}.json").read_text())["rows"]) == rows
        assert len(benchmark(name, *results, "--table").splitlines()) == 2 + lines
    figure = tmp_path / "figure.png"
    benchmark("locomotion_clock", "--results", str(tmp_path / "locomotion_clock.json"), "--plot", str(figure))
    assert figure.stat().st_size > 10_000
