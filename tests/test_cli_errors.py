"""Wrong words to both commands: one line each, which says what and where, and nothing is done."""

import os
import sys
from pathlib import Path
from typing import Any

import finished_runs
import gymnasium
import pytest
import slide as slide  # registers its environment

from gradgym import evaluate, train
from gradgym.agents import BPTT, MBPO, SHAC
from gradgym.agents.training.checkpoint import load_checkpoint
from gradgym.agents.training.configuration import RunConfig, full_id
from gradgym.agents.training.evaluation import read_evaluations
from gradgym.envs.differentiable import DifferentiableEnvs

PENDULUM = "gradgym/NLinkPendulum-v0"
TASK = """
import slide
from gradgym.envs import register
register("{name}-v0", slide.Slide, 20)
"""


def refused(command: Any, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The line that the command ends with, and no other."""
    capsys.readouterr()
    assert command.main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0
    return error


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_runs.finish(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return finished_runs.copy(finished, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--num-threads", "0"], "--num-threads 0: must be at least 1"),
        (["--seed", "-1"], "--seed -1: must be from 0 to 4294967295"),
        (["--hyperparams", "policy_kwargs:5"], "policy_kwargs=5: write single ones as policy_kwargs.key:value"),
        (["--algo", "sac", "--env", "CartPole-v1"], "--algo sac --env CartPole-v1: The algorithm only supports"),
        (["--env", "no_such_task:Push-v0"], "no_such_task: cannot be imported (No module named 'no_such_task'): call"),
        (["--enhancement", "sample", "--env", "Ant-v5"], "Ant-v5 gives no gradients; gradgym/Ant-v0 does"),
        (["--enhancement", "sample", "--env", "CartPole-v1"], "CartPole-v1 gives no gradients"),
        (["--algo", "shac", "--env-kwargs", "n_link:3"], "unexpected keyword argument 'n_link'"),
        (["--hyperparams", "batch_size:0"], "batch_size=0: must be a positive integer"),
        (["--algo", "ppo", "--hyperparams", "n_epochs:0"], "n_epochs=0: must be a positive integer"),
        (["--hyperparams", "model_train_freq:0"], "model_train_freq=0: must be a positive integer"),
        (["--hyperparams", "real_ratio:2"], "real_ratio=2: must be from 0 to 1"),
    ],
)
def test_trainings_that_cannot_be(
    arguments: list[str], part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert part in refused(train, [*arguments, "--run-dir", str(tmp_path / "run")], capsys)
    assert not (tmp_path / "run").exists()


def test_places_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for run_dir in (tmp_path / "file", tmp_path / "file" / "run"):
        assert f"{tmp_path / 'file'} is a file" in refused(train, ["--run-dir", str(run_dir)], capsys)
    monkeypatch.setattr(os, "access", lambda *_: False)
    line = refused(train, ["--run-dir", str(tmp_path / "a" / "b")], capsys)
    assert f"{tmp_path} cannot be written to" in line and not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["film.txt", "film", "nowhere/film.mp4"])
def test_films_are_refused_before_the_evaluation(name: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"--video {run / name}: " in refused(evaluate, [str(run), "--video", str(run / name)], capsys)
    assert "--seed -1" in refused(evaluate, [str(run), "--seed", "-1"], capsys)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--video-seconds", "3"], "--video-seconds 3.0: is of a video, name its file with --video"),
        (["--video-size", "64x48"], "--video-size 64x48: is of a video, name its file with --video"),
        (["--video", "a.mp4", "--video-seconds", "0"], "--video-seconds 0.0: must be finite and more than 0"),
        (["--video", "a.mp4", "--video-seconds", "inf"], "--video-seconds inf: must be finite and more than 0"),
        (["--video", "a.mp4", "--video-size", "640"], "--video-size 640: write WIDTHxHEIGHT, both even"),
        (["--video", "a.mp4", "--video-size", "65x48"], "--video-size 65x48: write WIDTHxHEIGHT, both even"),
        (["--video", "a.mp4", "--video-size", "8x48"], "--video-size 8x48: write WIDTHxHEIGHT, both even, from 16"),
        (["--view"], "a window needs a display and DISPLAY is not set; film it with --video FILE.mp4"),
    ],
)
def test_what_cannot_be_watched_is_refused_before_the_evaluation(
    arguments: list[str], part: str, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert part in refused(evaluate, [str(run), *arguments], capsys)


@pytest.mark.parametrize("content", [b"", b"\x80\x04\x95", b"not a pickle", b"\x80\x04]."])
def test_a_damaged_checkpoint_is_named(content: bytes, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / "checkpoint.pkl"
    path.write_bytes(content)
    assert f"{path}: damaged, or written by another version" in refused(train, ["--resume", str(run)], capsys)


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"algo: [", b"\xff\xfe\xff", b"algo: ppo\nenv: x\n"])
def test_a_damaged_configuration_is_named(content: bytes, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "config.yaml").write_bytes(content)
    assert f"{run / 'config.yaml'}: damaged" in refused(train, ["--resume", str(run)], capsys)
    assert f"{run / 'config.yaml'}: damaged" in refused(evaluate, [str(run)], capsys)


def test_other_damaged_files_are_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "best_policy.safetensors").write_bytes(b"PK")
    assert f"{run / 'best_policy.safetensors'}: damaged" in refused(evaluate, [str(run)], capsys)
    (run / "evaluations.jsonl").write_text('{"timesteps": 40')
    assert f"{run / 'evaluations.jsonl'}: damaged" in refused(train, ["--resume", str(run)], capsys)


def test_a_run_goes_on_to_more_steps_and_takes_nothing_else(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resume = ["--resume", str(run)]
    others = [
        ["--algo", "shac"],
        ["--env", PENDULUM],
        ["--env-kwargs", "n_links:1"],
        ["--enhancement", "policy"],
        ["--seed", "0"],
        ["--hyperparams", "gamma:1"],
        ["--config", "own.yaml"],
        ["--callback", "module:Class"],
        ["--run-dir", "elsewhere"],
    ]
    for other in others:
        assert f"{other[0]} " in refused(train, [*resume, *other], capsys)
    assert "the run has 80 already" in refused(train, [*resume, "--total-timesteps", "80"], capsys)
    assert "--hyperparams gamma:1 n_envs:2: --resume" in refused(train, [*resume, *others[5], "n_envs:2"], capsys)
    assert train.main([*resume, "--total-timesteps", "240"]) == 0
    assert RunConfig.read(run).total_timesteps == 240
    assert [e["timesteps"] for e in train.Run(RunConfig.read(run), run).evaluation.evaluations] == [80, 160, 240]


@pytest.mark.parametrize(
    ("algo", "settings"),
    [
        ("ppo", ["n_steps:20", "batch_size:20"]),
        ("sac", ["learning_starts:10", "batch_size:8"]),
        ("mbpo", ["learning_starts:10", "batch_size:8", "gradient_steps:1", "model:false"]),
        ("bptt", ["n_envs:2", "horizon:10", "learning_rate:lin_1e-3"]),
    ],
)
def test_a_finished_run_of_any_algorithm_goes_on_to_more_steps(algo: str, settings: list[str], tmp_path: Path) -> None:
    own = ["--hyperparams", *settings, "eval_freq:40", "eval_episodes:1", "checkpoint_freq:1000"]
    command = ["--algo", algo, "--env", "Slide-v0", "--total-timesteps", "80", "--run-dir", str(tmp_path), *own]
    assert train.main(command) == 0
    assert train.main(["--resume", str(tmp_path), "--total-timesteps", "160"]) == 0
    assert load_checkpoint(tmp_path / "checkpoint.pkl").algorithm.num_timesteps == 160
    assert read_evaluations(tmp_path)[-1]["timesteps"] == 160
    assert RunConfig.read(tmp_path).total_timesteps == 160


def test_ids_without_version_or_with_a_module_have_their_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert full_id("gradgym/Ant") == "gradgym/Ant-v0" and full_id("Ant-v4") == "Ant-v4"
    assert full_id("gradgym:gradgym/Golf") == "gradgym:gradgym/Golf-v0"
    parser = train._parser()
    configs = [
        train._new_config(parser.parse_args(["--algo", "shac", "--env", env_id]))
        for env_id in ("gradgym/Ant-v0", "gradgym/Ant", "gradgym:gradgym/Ant-v0", "gradgym:gradgym/Ant")
    ]
    assert [config.hyperparams for config in configs[1:]] == [configs[0].hyperparams] * 3
    monkeypatch.chdir(tmp_path)
    assert train._new_folder(configs[2], None) == Path("runs/shac-gradgym-gradgym-Ant-v0-0")


def test_a_task_is_found_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where an installed command does not look of itself."""
    (tmp_path / "own_task.py").write_text(TASK.format(name="Own"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != ""])
    settings = ["--total-timesteps", "80", "--hyperparams", "n_envs:4", "horizon:20", "eval_episodes:1"]
    assert train.main(["--algo", "shac", "--env", "own_task:Own", "--run-dir", "run", *settings]) == 0
    assert evaluate.main(["run", "--episodes", "1", "--backend", "sim"]) == 0


def test_a_loaded_algorithm_has_as_many_environments_as_the_saved_one(tmp_path: Path) -> None:
    for algorithm in (SHAC, BPTT):
        algorithm("MlpPolicy", "Slide-v0", n_envs=3).save(tmp_path / "saved.zip")
        for env in ("Slide-v0", gymnasium.make("Slide-v0")):
            assert algorithm.load(tmp_path / "saved.zip", env=env).n_envs == 3
        assert algorithm.load(tmp_path / "saved.zip", env=gymnasium.make_vec("Slide-v0", 5)).n_envs == 5
        assert algorithm.load(tmp_path / "saved.zip").env is None


def test_lines_of_the_algorithms_say_what_to_pass() -> None:
    with pytest.raises(TypeError, match=r"env='Ant-v5'.*; gradgym/Ant-v0 does$"):
        SHAC("MlpPolicy", "Ant-v5")
    assert SHAC("MlpPolicy", "slide:Slide", n_envs=2).n_envs == 2
    with pytest.raises(ValueError, match="batch_size=0"):
        MBPO("MlpPolicy", "Slide-v0", batch_size=0)
    wrapped: Any = gymnasium.wrappers.vector.RecordEpisodeStatistics(gymnasium.make_vec("Slide-v0", 2))
    with pytest.raises(TypeError, match=r"pass envs\.unwrapped"):
        DifferentiableEnvs(wrapped)
    single: Any = gymnasium.make("Slide-v0")
    with pytest.raises(TypeError, match="no TaskVectorEnv"):
        DifferentiableEnvs(single)
