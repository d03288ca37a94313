"""Policy files: they act as the policy did that was written, and say so in one line where they cannot."""

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import point_mass as point_mass  # registers its environment
import pytest
import safetensors
import safetensors.torch
import slide as slide  # registers its environment
import torch
from gain_search import GainSearch
from gymnasium import spaces

from gradgym import load_policy
from gradgym.agents import ALGORITHMS
from gradgym.agents.training.configuration import RunConfig
from gradgym.agents.training.policy_file import PolicyFile, PolicyHeader
from gradgym.agents.training.space_settings import from_settings, to_settings

SETTINGS: dict[str, dict[str, Any]] = {
    "mbpo": {"policy_kwargs": {"net_arch": [8, 8], "activation_fn": "silu"}},
    "sac": {},
    "ppo": {"policy_kwargs": {"net_arch": {"pi": [8], "vf": [4, 4]}}},
    "shac": {"n_envs": 2},
    "bptt": {"policy_kwargs": {"normalize": False}},
    "ilqr": {"policy": "PathPolicy"},
}


def written(algorithm: Any, path: Path, algo: str, env: str = "Slide-v0", **env_kwargs: Any) -> Path:
    PolicyFile(PolicyHeader(algo, env, env_kwargs, algorithm.num_timesteps), algorithm.policy_state()).write(path)
    return path


def made(algo: str, env: str = "Slide-v0", **hyperparams: Any) -> Any:
    config = RunConfig(algo, env, 3, 100, 100, 1, 100, hyperparams=hyperparams)
    return ALGORITHMS[algo].from_config(config)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Of an untrained policy."""
    return written(made("shac", n_envs=2), tmp_path / "policy.safetensors", "shac")


@pytest.mark.parametrize("algo", SETTINGS)
def test_a_policy_acts_as_the_one_that_was_written(algo: str, tmp_path: Path) -> None:
    algorithm = made(algo, **SETTINGS[algo])
    with torch.no_grad():  # normalisation included
        for tensor in algorithm.policy.state_dict().values():
            tensor.add_(0.01 * torch.rand(tensor.shape))
    before = torch.get_rng_state()
    found = load_policy(written(algorithm, tmp_path / "policy.safetensors", algo))
    assert torch.equal(torch.get_rng_state(), before)
    obs = np.random.default_rng(0).normal(size=(20, 2))
    expected, _ = algorithm.predict(obs, deterministic=True)
    assert np.array_equal(found.predict(obs, deterministic=True)[0], expected)
    assert found.predict(obs[3], deterministic=True)[0].shape == (1,)
    assert np.ptp(expected) > 1e-3 and expected.min() >= -2.0 and expected.max() <= 2.0
    torch.manual_seed(0)
    expected, _ = algorithm.predict(obs)
    torch.manual_seed(0)
    assert np.array_equal(found.predict(obs)[0], expected)


def test_actions_of_other_spaces_and_networks(tmp_path: Path) -> None:
    """What `gradgym-train` can train beside boxes: SB3's PPO on any environment of Gymnasium's."""
    algorithm = made("ppo", "CartPole-v1", n_steps=8, batch_size=8, policy_kwargs={"activation_fn": "elu"})
    found = load_policy(written(algorithm, tmp_path / "policy.safetensors", "ppo", "CartPole-v1"))
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    expected, _ = algorithm.predict(obs, deterministic=True)
    assert set(expected) == {0, 1} and np.array_equal(found.predict(obs, deterministic=True)[0], expected)


def test_an_algorithm_that_is_not_sb3s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGORITHMS, "gain_search", GainSearch)
    algorithm = GainSearch(None, [0.5, -0.25], 0, 0.0)
    found = load_policy(written(algorithm, tmp_path / "policy.safetensors", "gain_search"))
    obs = np.array([0.2, 0.1])
    assert found.predict(obs)[0] == algorithm.predict(obs)[0] != 0.0


def test_a_stranger_can_read_what_is_in_a_file(file: Path) -> None:
    """Without gradgym: the metadata is strict JSON, the tensors have the networks' names, no critic is among them."""
    with safetensors.safe_open(file, framework="numpy") as content:
        settings = json.loads(content.metadata()["gradgym"], parse_constant=pytest.fail)
        names = set(content.keys())
    assert {k: settings[k] for k in ("format", "algo", "env")} == {
        "format": "gradgym policy",
        "algo": "shac",
        "env": "Slide-v0",
    }
    policy = settings["policy"]
    assert policy["arguments"]["net_arch"] == [128, 64, 32] and policy["arguments"]["activation_fn"] == "elu"
    assert policy["squash_output"] is True
    assert policy["action_space"] == {"type": "Box", "shape": [1], "dtype": "float32", "low": -2.0, "high": 2.0}
    assert policy["observation_space"]["low"] is None
    assert {"normalize.mean", "normalize.var", "actor.0.weight", "log_std"} <= names
    assert not [name for name in names if name.startswith("critic")]


def test_the_environment_is_made_with_its_arguments(tmp_path: Path) -> None:
    path = written(
        made("ppo"), tmp_path / "policy.safetensors", "ppo", "Slide-v0", backend="mujoco", max_episode_steps=7
    )
    env = load_policy(path).make_env()
    assert env.spec is not None and env.spec.max_episode_steps == 7
    assert env.unwrapped.task.backend_name == "mujoco"  # pyright: ignore[reportAttributeAccessIssue]
    changed = load_policy(path).make_env(backend="sim")
    assert changed.unwrapped.task.backend_name == "sim"  # pyright: ignore[reportAttributeAccessIssue]


def changed(path: Path, *keys: str, value: Any = None, **weights: Any) -> None:
    """Writes the file again with another setting, left out if None, or with other weights."""
    with safetensors.safe_open(path, framework="pt") as content:
        settings = json.loads(content.metadata()["gradgym"])
        tensors = {name: content.get_tensor(name) for name in content.keys()}
    if keys:
        place = settings
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
    metadata = {"gradgym": json.dumps(settings)}
    tensors = {k: x for k, x in (tensors | weights).items() if x is not None}
    safetensors.torch.save_file(tensors, path, metadata)


@pytest.mark.parametrize(
    ("keys", "value", "part"),
    [
        (["format"], "gradgym checkpoint", "is no policy, but 'gradgym checkpoint'"),
        (["format_version"], 99, "written by gradgym 0"),
        (["env_kwargs"], None, "damaged, 'env_kwargs' is missing"),
        (["policy"], [], "damaged, 'policy' is missing"),
        (["algo"], "a2c", "no algorithm 'a2c' is known here, only mbpo, sac"),
        (["algo"], "sac", "is a 'ShortHorizonPolicy', not one of"),
        (["policy", "class"], "Popen", "is a 'Popen', not one of ShortHorizonPolicy"),
        (["policy", "arguments", "activation_fn"], "os.system", "KeyError: 'os.system'"),
        (["policy", "arguments", "net_arch"], [128, 64], "no policy of --algo shac"),
        (["policy", "arguments", "net_arch"], None, ""),  # the default, which it was
        (["policy", "arguments", "surprise"], 1, "TypeError"),
        (["policy", "action_space", "type"], "Set", "'Set' is no kind of space"),
        (["env_kwargs"], {"task": "subprocess:Popen"}, "code is named by registered ids alone"),
    ],
)
def test_changed_settings_are_named(keys: list[str], value: Any, part: str, file: Path) -> None:
    changed(file, *keys, value=value)
    if not part:
        load_policy(file)
        return
    with pytest.raises(ValueError, match=part) as raised:
        load_policy(file)
    assert str(raised.value).startswith(f"{file}: ") and "\n" not in str(raised.value)


def test_changed_weights_are_named(file: Path) -> None:
    whole = file.read_bytes()
    changed(file, log_std=None)
    with pytest.raises(ValueError, match="the weights 'log_std' and the settings do not belong together"):
        load_policy(file)
    file.write_bytes(whole)
    changed(file, more=torch.zeros(1))
    with pytest.raises(ValueError, match="the weights 'more'"):
        load_policy(file)


def test_damaged_and_foreign_files_are_one_line(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    for content in (b"", b"PK", whole[:-1], whole[:100], whole + b" ", b"\xff" * 1000, b"\x80\x04]."):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="damaged, or no safetensors file") as raised:
            load_policy(file)
        assert "\n" not in str(raised.value)
    safetensors.torch.save_file({"x": torch.zeros(2)}, file)
    with pytest.raises(ValueError, match="a safetensors file, but none of gradgym's"):
        load_policy(file)
    for text in ("{", "[1]"):
        safetensors.torch.save_file({"x": torch.zeros(2)}, file, {"gradgym": text})
        with pytest.raises(ValueError, match="damaged, 'gradgym' in its metadata is no JSON"):
            load_policy(file)
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ValueError, match=f"{path}: no such file"):
            load_policy(path)


def test_what_a_file_cannot_hold_is_refused(tmp_path: Path) -> None:
    algorithm = made("ppo", n_steps=8, batch_size=8)
    path = tmp_path / "policy.safetensors"
    with pytest.raises(ValueError, match=r"settings as JSON has them: .*set"):
        written(algorithm, path, "ppo", names={"a"})
    algorithm.policy.activation_fn = torch.nn.Softplus
    with pytest.raises(ValueError, match="activation_fn=Softplus: a policy file holds no classes"):
        written(algorithm, path, "ppo")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-np.inf, np.inf, (3,), np.float64),
        spaces.Box(np.array([-1.0, -np.inf, 0.1]), np.array([np.inf, 2.0, 0.3]), dtype=np.float32),
        spaces.Box(0, 255, (4, 4, 3), np.uint8),
        spaces.Box(-1.0, 1.0, (), np.float32),
        spaces.Discrete(3, start=-1),
        spaces.MultiDiscrete([2, 5]),
        spaces.MultiBinary(4),
        spaces.MultiBinary([2, 3]),
        spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Box(0.0, 1.0, (2,))}),
    ],
)
def test_spaces_survive_json(space: spaces.Space[Any]) -> None:
    text = json.dumps(to_settings(space), allow_nan=False)
    assert from_settings(json.loads(text)) == space


def test_other_spaces_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        to_settings(spaces.Text(3))


@pytest.mark.parametrize("env", [gymnasium.make("Slide-v0"), gymnasium.make("CartPole-v1")])
def test_spaces_of_environments(env: gymnasium.Env[Any, Any]) -> None:
    for space in (env.observation_space, env.action_space):
        assert from_settings(to_settings(space)) == space
