"""The line search of BPTT; what BPTT shares with SHAC is tested with it."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import Logger

from gradgym.agents import BPTT
from gradgym.agents.policy_gradient import bptt
from gradgym.agents.training.evaluation import evaluate_returns

SMALL: dict[str, Any] = {"net_arch": [8], "activation_fn": torch.nn.Tanh, "log_std_init": -4.0, "log_std_min": -5.0}


def pendulum() -> gymnasium.Env[Any, Any]:
    return gymnasium.make("gradgym/NLinkPendulum-v0", n_links=2)


def algorithm(**kwargs: Any) -> BPTT:
    return BPTT("MlpPolicy", pendulum(), policy_kwargs=SMALL, seed=0, **kwargs)


@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_line_search_never_loses(spread: float) -> None:
    # A rate at which Adam's own steps go far astray: every update must keep at least what there was.
    # Without normalisation of observations nothing but the step changes the policy.
    found = BPTT(
        "MlpPolicy",
        pendulum(),
        learning_rate=0.3,
        line_search=8,
        search_spread=spread,
        policy_kwargs=SMALL | {"normalize": False},
        seed=0,
    )
    returns = [evaluate_returns(found, pendulum(), 1, seed=0)[0]]
    for _ in range(4):
        found.learn(100, reset_num_timesteps=False)
        returns.append(evaluate_returns(found, pendulum(), 1, seed=0)[0])
    # The observations of an evaluation are rounded as those of the search are, to float32.
    assert np.all(np.diff(returns) >= -1e-5)
    assert returns[-1] > returns[0] + 0.1


def test_returns_of_the_search_are_those_of_episodes() -> None:
    found = algorithm(line_search=2)
    networks = two_copies(found)
    networks["0.weight"][1] += 0.3
    expected = []
    for row in range(2):
        found.policy.actor.load_state_dict({name: p[row] for name, p in networks.items()})
        expected.append(evaluate_returns(found, pendulum(), 1, seed=0)[0])
    assert abs(expected[0] - expected[1]) > 1e-3
    # float32 networks, batched in another order, over 100 steps.
    with torch.no_grad():
        np.testing.assert_allclose(found._returns(networks).numpy(), expected, rtol=1e-4)
    assert found.num_timesteps == 200


def two_copies(found: BPTT) -> dict[str, torch.Tensor]:
    return {name: p.detach().expand(2, *p.shape).clone() for name, p in found.policy.actor.named_parameters()}


def test_returns_of_the_search_end_where_the_task_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    found, env, expected = algorithm(line_search=2, gamma=0.9), pendulum(), 0.0
    assert found.env is not None
    monkeypatch.setattr(found.env.envs.task, "terminal", lambda state: state.time >= 3)
    obs, _ = env.reset(seed=0)
    for step in range(3):
        obs, reward, *_ = env.step(found.predict(obs, deterministic=True)[0])
        expected += 0.9**step * float(reward)
    with torch.no_grad():
        np.testing.assert_allclose(found._returns(two_copies(found)).numpy(), [expected] * 2, rtol=1e-4)


def test_a_diverged_episode_is_the_worst_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    found = algorithm(line_search=2)
    monkeypatch.setattr(bptt, "is_finite", lambda state: np.array([True, False]))
    with torch.no_grad():
        returns = found._returns(two_copies(found)).tolist()
    assert np.isfinite(returns[0]) and returns[1] == -np.inf


@pytest.mark.parametrize("best", [0, 2])
def test_an_update_goes_where_the_search_finds_most(best: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To twice Adam's step, or nowhere; the noise takes its step in any case."""
    found, returns = algorithm(line_search=3, learning_rate=0.01), torch.zeros(3)
    returns[best] = 1.0
    monkeypatch.setattr(found, "_returns", lambda networks: returns)
    before = [p.detach().clone() for p in found.policy.actor_parameters]
    found.learn(1)
    moved = [
        (p.detach() - old).abs().max().item() for p, old in zip(found.policy.actor_parameters, before, strict=True)
    ]
    assert moved[:-1] == [pytest.approx(0.02 if best == 0 else 0.0, abs=1e-5)] * 4
    assert moved[-1] == pytest.approx(0.01, abs=1e-5)


def test_search_leaves_the_line_by_noise_of_the_steps_size(monkeypatch: pytest.MonkeyPatch) -> None:
    found = algorithm(line_search=400, search_spread=3.0)
    found.set_logger(Logger(None, []))
    start = [p.detach().clone() for p in found.policy.actor.parameters()]
    step = [torch.randn_like(p) for p in start]
    with torch.no_grad():
        for p, d in zip(found.policy.actor.parameters(), step, strict=True):
            p.add_(d)
    seen: dict[str, torch.Tensor] = {}

    def returns(networks: dict[str, torch.Tensor]) -> torch.Tensor:
        seen.update(networks)
        return torch.zeros(400)

    monkeypatch.setattr(found, "_returns", returns)
    found._choose_length(start)
    scales = 2.0 ** torch.linspace(1.0, -7.0, 400)
    origin, d, tried = start[0], step[0], seen["0.weight"]
    assert torch.equal(tried[-1], origin)
    torch.testing.assert_close(tried[0], origin + 2.0 * d)
    torch.testing.assert_close(tried[1], origin + scales[1] * d)
    noise = ((tried - origin) / scales[:, None, None] - d)[2:-1]
    assert noise.std() / d.square().mean().sqrt() == pytest.approx(3.0, rel=0.03)  # of 400 times 48 numbers


def _noted(found: list[torch.Tensor], returns: torch.Tensor) -> torch.Tensor:
    found.append(returns)
    return returns


def test_the_search_compares_what_will_act(monkeypatch: pytest.MonkeyPatch) -> None:
    """With normalised observations too, which an update changes."""
    found, compared = algorithm(line_search=6, learning_rate=0.01), list[torch.Tensor]()
    own = found._returns
    monkeypatch.setattr(found, "_returns", lambda networks: _noted(compared, own(networks)))
    found.learn(1)
    (tried,) = compared
    assert evaluate_returns(found, pendulum(), 1, seed=0)[0] == pytest.approx(tried.max().item(), rel=1e-4)


@pytest.mark.parametrize("arguments", [{"line_search": 1}, {"line_search": 4, "horizon": 10}, {"search_spread": -1.0}])
def test_line_search_refuses_what_it_cannot_do(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"line_search|search_spread=-1"):
        algorithm(**arguments)
