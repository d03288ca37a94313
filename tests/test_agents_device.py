"""Every algorithm trains where its networks are, which with "auto" is the GPU for those of SB3's kind."""

from typing import Any

import gymnasium
import numpy as np
import point_mass as point_mass  # registers its environment
import pytest
import slide as slide
import torch
from mbpo_variants import COMMON, VARIANTS
from stand_in_device import DEVICE, Elsewhere, stand_in

from gradgym.agents import BPTT, MBPO, PPO, SAC, SHAC, BatchedSACPolicy

SETTINGS: dict[str, Any] = {**COMMON, "learning_starts": 30, "batch_size": 16, "gradient_steps": 2}
FEW: dict[str, Any] = {
    "model_train_freq": 40,
    "model_fit_kwargs": {"max_epochs": 2, "batch_size": 16},
    "rollout_batch_size": 20,
    "rollout_schedule": (0, 1, 2, 2),
}


def test_the_stand_in_keeps_devices_apart() -> None:
    with stand_in() as device:
        there = torch.arange(3.0).to(device)
        assert isinstance(there + 1.0, Elsewhere) and there.device == DEVICE
        assert (there * there).cpu().tolist() == [0.0, 1.0, 4.0]
        with pytest.raises(RuntimeError, match="stand-in device"):
            torch.add(there, torch.ones(3))
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()


def mbpo(variant: str, device: torch.device | str, env_id: str = "PointMass-v0", **env_kwargs: Any) -> MBPO:
    changes = FEW if VARIANTS[variant].get("model", True) else {}
    settings = {**SETTINGS, **VARIANTS[variant], **changes}
    horizon = settings.get("gradient_horizon", "step")
    gradients = MBPO.required_gradients(settings.get("enhancement"), horizon)
    env = gymnasium.make(env_id, gradients=gradients, **env_kwargs)
    return MBPO("MlpPolicy", env, seed=0, device=device, **settings)


def weights(algorithm: Any, steps: int) -> torch.Tensor:
    """Of the policy after a training, on the CPU."""
    algorithm.learn(steps)
    obs = np.zeros(algorithm.observation_space.shape, np.float32)
    assert algorithm.predict(obs, deterministic=True)[0].shape == algorithm.action_space.shape
    return torch.cat([parameter.detach().cpu().flatten() for parameter in algorithm.policy.parameters()])


@pytest.mark.parametrize("variant", VARIANTS)
def test_mbpo_learns_the_same_on_another_device(variant: str) -> None:
    with stand_in() as device:
        elsewhere = mbpo(variant, device)
        found = weights(elsewhere, 100)
        assert all(parameter.device == device for parameter in elsewhere.policy.parameters())
        assert torch.equal(found, weights(mbpo(variant, "cpu"), 100))


def test_a_task_tells_reward_and_end_of_what_is_on_another_device() -> None:
    with stand_in() as device:
        pendulum = "gradgym/NLinkPendulum-v0"
        assert weights(mbpo("sample", device, pendulum, n_links=1), 50).isfinite().all()


def test_baselines_train_on_another_device() -> None:
    keep = ("learning_starts", "batch_size", "policy_kwargs")
    with stand_in() as device:
        env, settings = gymnasium.make("PointMass-v0"), {k: SETTINGS[k] for k in keep}
        assert weights(SAC(BatchedSACPolicy, env, device=device, **settings), 40).isfinite().all()
        assert weights(PPO("MlpPolicy", env, device=device, n_steps=16, batch_size=16), 32).isfinite().all()


@pytest.mark.parametrize("algorithm", [SHAC, BPTT])
def test_trainers_by_gradient_go_to_a_gpu_only_where_asked(algorithm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is a GPU "auto" still means the CPU, on which few environments are quicker."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert algorithm("MlpPolicy", "Slide-v0", n_envs=2, device="auto").device == torch.device("cpu")
    with pytest.raises(ValueError, match=r"device='mps': \w+ runs on cpu"):
        algorithm("MlpPolicy", "Slide-v0", n_envs=2, device="mps")


def test_what_cannot_be_on_a_gpu_says_so() -> None:
    with pytest.raises(ValueError, match="device='cuda': BPTT runs on cpu"):
        BPTT("MlpPolicy", "Slide-v0", n_envs=2, device="cuda")
    envs = gymnasium.make_vec("Slide-v0", 2, autoreset_mode="SameStep")
    with pytest.raises(ValueError, match='the environments are on "cpu", make them with device="cuda"'):
        SHAC("MlpPolicy", envs, device="cuda")  # pyright: ignore[reportArgumentType]
