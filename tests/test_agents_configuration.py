from pathlib import Path

import pytest
import torch

from gradgym import train
from gradgym.agents import ALGORITHMS
from gradgym.agents.training.configuration import RunConfig, load_preset, merged, parse_settings
from gradgym.agents.training.sb3 import constructor_arguments


def test_settings_are_typed_and_nested() -> None:
    parsed = parse_settings(["a:1", "b:1e-3", "c.d:[64, 64]", "c.e:tanh", "f:true", "g:x:y"])
    assert parsed == {"a": 1, "b": 1e-3, "c": {"d": [64, 64], "e": "tanh"}, "f": True, "g": "x:y"}


@pytest.mark.parametrize("word", ["novalue", ":1", "a:[1"])
def test_wrong_settings_are_quoted(word: str) -> None:
    with pytest.raises(ValueError, match=r"key:value|YAML"):
        parse_settings([word])


def test_merging_changes_a_copy_and_keeps_neighbours() -> None:
    settings = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merged(settings, {"a": {"b": 9}, "d": 4}) == {"a": {"b": 9, "c": 2}, "d": 4}
    assert settings == {"a": {"b": 1, "c": 2}, "d": 3}


def test_names_become_objects() -> None:
    arguments = constructor_arguments(
        {
            "learning_rate": "lin_2e-3",
            "train_freq": [1, "episode"],
            "policy_kwargs": {"activation_fn": "tanh"},
        }
    )
    assert arguments["learning_rate"](0.5) == pytest.approx(1e-3)
    assert arguments["train_freq"] == (1, "episode")
    assert arguments["policy_kwargs"]["activation_fn"] is torch.nn.Tanh


@pytest.mark.parametrize("settings", [{"learning_rate": "cos_1"}, {"policy_kwargs": {"activation_fn": "step"}}])
def test_unknown_names_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"learning_rate|activation_fn"):
        constructor_arguments(settings)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_preset_has_the_runs_settings(algorithm: str) -> None:
    for env in ("gradgym/NLinkPendulum-v0", "gradgym/Ant-v0", "Unknown-v0"):
        preset = load_preset(algorithm, env)
        assert {"total_timesteps", "eval_freq", "eval_episodes", "checkpoint_freq"} <= preset.keys()


def test_an_enhancement_overrides_the_preset() -> None:
    plain = load_preset("mbpo", "gradgym/NLinkPendulum-v0")
    enhanced = load_preset(
        "mbpo", "gradgym/NLinkPendulum-v0", {"enhancement": "policy", "model_kwargs": {"members": 3}}
    )
    assert "with_enhancement" not in plain and "gradient_horizon" not in plain
    assert enhanced["gradient_horizon"] == "episode" and enhanced["gamma"] == plain["gamma"]
    assert enhanced["enhancement"] == "policy" and enhanced["model_kwargs"] == plain["model_kwargs"] | {"members": 3}


def test_values_by_an_argument_of_the_environment() -> None:
    env, policy = "gradgym/NLinkPendulum-v0", {"enhancement": "policy"}
    plain = load_preset("mbpo", env)
    assert plain == load_preset("mbpo", env, env_kwargs={"n_links": 5})  # the number of links without an argument
    assert load_preset("mbpo", env, env_kwargs={"n_links": 3}) == plain | {"total_timesteps": 7500}
    assert not any(name.startswith("with_") for name in plain)
    enhanced, two = load_preset("mbpo", env, policy), load_preset("mbpo", env, policy, {"n_links": 2})
    changed = {name for name in two if two[name] != enhanced[name]}
    assert changed == {"total_timesteps", "policy_kwargs", "learning_rate", "replay_episodes"}
    assert two["policy_kwargs"] == enhanced["policy_kwargs"] | {"log_std_init": -1.6}
    # What is asked for goes before the preset's.
    assert load_preset("mbpo", env, policy | {"replay_episodes": 7}, {"n_links": 2})["replay_episodes"] == 7
    assert load_preset("mbpo", env, {"gradient_horizon": [1]})["gradient_horizon"] == [1]


def test_changes_from_a_file(tmp_path: Path) -> None:
    file, env = tmp_path / "own.yaml", "gradgym/NLinkPendulum-v0"
    file.write_text(f"{env}: {{gamma: 0.5, enhancement: policy, policy_kwargs: {{log_std_init: 0.0}}}}\n")
    words = ["--env", env, "--env-kwargs", "n_links:2", "--config", str(file), "--hyperparams", "tau:0.5"]
    config = train.configuration(words)
    expected = load_preset("mbpo", env, {"enhancement": "policy"}, {"n_links": 2})
    expected["policy_kwargs"]["log_std_init"] = 0.0
    expected |= {"gamma": 0.5, "tau": 0.5}
    assert config.hyperparams == {name: value for name, value in expected.items() if name in config.hyperparams}
    assert config.hyperparams["replay_episodes"] == 4
    assert train.configuration([*words, "gamma:0.25"]).hyperparams["gamma"] == 0.25
    with pytest.raises(ValueError, match=r"own.yaml: has no block 'gradgym/Ant-v0' of settings, and no default"):
        train.configuration(["--env", "gradgym/Ant", "--config", str(file)])
    file.write_text("default: {batch: 3}\n")
    assert train.configuration(["--algo", "grasp", "--config", str(file)]).hyperparams["batch"] == 3
    for content in ("[1]", "default: 3", "default: {"):
        file.write_text(content)
        with pytest.raises(ValueError, match=r"own.yaml: "):
            train.configuration(["--config", str(file)])
    with pytest.raises(OSError, match="nowhere"):
        train.configuration(["--config", "nowhere"])


def test_algorithms_on_the_ant_are_comparable() -> None:
    plain, sac = load_preset("mbpo", "gradgym/Ant-v0"), load_preset("sac", "gradgym/Ant-v0")
    sample = {"enhancement": "sample"}
    assert load_preset("mbpo", "gradgym/Ant-v0", sample) == plain | sample | {"action_perturbation": 0.2}
    of_model = {key for key in plain if "model" in key or "rollout" in key or key == "real_ratio"}
    assert sac == {key: value for key, value in plain.items() if key not in of_model} | {"policy": "BatchedSACPolicy"}


def test_a_configuration_of_another_version_is_refused_in_one_line(tmp_path: Path) -> None:
    config = RunConfig.from_settings(load_preset("sac", "gradgym/Ant-v0"), algo="sac", env="gradgym/Ant-v0", seed=0)
    config.write(tmp_path)
    assert RunConfig.read(tmp_path) == config
    with (tmp_path / "config.yaml").open("a") as file:
        file.write("enhancement: null\n")
    with pytest.raises(ValueError, match=r"config.yaml: gradgym .* wrote enhancement, which this one knows not"):
        RunConfig.read(tmp_path)
