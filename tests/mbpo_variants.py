"""Settings of MBPO, with and without its parts, that learn the point mass in seconds."""

from typing import Any

import torch

COMMON: dict[str, Any] = {
    "learning_rate": 3e-3,
    "gamma": 1.0,
    "batch_size": 64,
    "learning_starts": 100,
    "train_freq": 16,
    "gradient_steps": 16,
    "buffer_size": 5000,
    "tau": 0.02,
    "ent_coef": "auto_0.01",
    "replay_buffer_kwargs": {"handle_timeout_termination": False},
    "policy_kwargs": {"net_arch": [32, 32], "activation_fn": torch.nn.Tanh, "log_std_init": -1.0},
}
MODEL = {
    "model_train_freq": 200,
    "model_kwargs": {"net_arch": (32, 32), "members": 3, "elites": 2},
    "model_fit_kwargs": {"max_epochs": 50, "batch_size": 64},
    "rollout_batch_size": 500,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "mbpo": MODEL,
    "sac": {"model": False},
    "sample": {"enhancement": "sample", "action_perturbation": 0.1, "real_ratio": 0.2, **MODEL},
    "sample without model": {"model": False, "enhancement": "sample", "action_perturbation": 0.1},
    "policy": {"model": False, "enhancement": "policy"},
    "policy with model": {"enhancement": "policy", "real_ratio": 0.5, **MODEL},
    "policy, episode": {
        "model": False,
        "enhancement": "policy",
        "gradient_horizon": "episode",
        "ent_coef": 0.0,
        "learning_starts": 0,
    },
}
