"""Search spaces: what is drawn of them, what is fixed, and that every algorithm has one that its presets bear."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from gradgym.agents import ALGORITHMS
from gradgym.agents.training.configuration import load_preset, merged
from gradgym.agents.training.sb3 import constructor_arguments
from gradgym.agents.tuning.space import load_space, suggest

OWN = """
gamma: {choices: [0.5, 0.9]}
horizon: {low: 2, high: 8, log: true}
learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true, format: "lin_{:.3g}"}
policy_kwargs.net_arch: {choices: [[8], [8, 8]]}
policy_kwargs.log_std_init: {low: -2.0, high: 0.0}
"""


def drawn(space: Any, number: int) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [suggest(study.ask(), space) for _ in range(number)]


def test_values_are_of_the_space_and_of_their_types(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(OWN)
    found = drawn(load_space("shac", file, {}), 60)
    assert {one["gamma"] for one in found} == {0.5, 0.9}
    assert {one["horizon"] for one in found} == set(range(2, 9))
    rates = [float(one["learning_rate"].removeprefix("lin_")) for one in found]
    assert min(rates) < 3e-4 and max(rates) > 3e-3 and 1e-4 <= min(rates) and max(rates) <= 1e-2
    assert {tuple(one["policy_kwargs"]["net_arch"]) for one in found} == {(8,), (8, 8)}
    assert all(-2.0 <= one["policy_kwargs"]["log_std_init"] <= 0.0 for one in found)


def test_fixed_settings_are_not_searched(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(OWN)
    left = load_space("shac", file, {"gamma": 1.0, "policy_kwargs": {"net_arch": [4], "activation_fn": "tanh"}})
    assert set(left) == {"horizon", "learning_rate", "policy_kwargs.log_std_init"}
    with pytest.raises(ValueError, match="nothing is left to search"):
        load_space(
            "shac",
            file,
            {
                "gamma": 1,
                "horizon": 2,
                "learning_rate": 1,
                "policy_kwargs": {**dict.fromkeys(("net_arch", "log_std_init"))},
            },
        )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[1, 2]", "no search space"),
        ("gamma: 3", "no search space"),
        ("gamma: {", "no search space"),
        ("gamma: {low: 1}", "gamma: has low; write"),
        ("gamma: {choices: 3}", "choices=3 is no list"),
        ("gamma: {low: 1, high: 2.0}", "two numbers of one type"),
        ("gamma: {low: 2.0, high: 1.0}", "low below high"),
        ("gamma: {low: 0.0, high: 1.0, log: true}", "positive if log"),
        ("gamma: {low: 0.0, high: 1.0, format: '{:d}'}", "format='{:d}': "),
    ],
)
def test_wrong_spaces_are_one_line(text: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"space\.yaml: ") as caught:
        load_space("shac", tmp_path / "space.yaml", {})
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_an_algorithm_without_one_says_so() -> None:
    with pytest.raises(ValueError, match="--algo gain_search has no search space, give one with --search-space"):
        load_space("gain_search", None, {})


@pytest.mark.parametrize("algo", [name for name in ALGORITHMS if name != "gain_search"])
def test_every_algorithm_has_a_space_of_settings_that_it_knows(algo: str) -> None:
    space, preset = load_space(algo, None, {}), load_preset(algo, "Unknown-v0")
    known = {name for base in ALGORITHMS[algo].__mro__ for name in getattr(base.__init__, "__annotations__", {})}
    for changes in drawn(space, 20):
        assert changes.keys() <= known | {"n_envs"}
        constructor_arguments(merged(preset, changes))
