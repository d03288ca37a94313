"""Short trainings from the command line, and what is read of their folders."""

from pathlib import Path

import torch

from gradgym.agents.training.checkpoint import load_checkpoint
from gradgym.agents.training.evaluation import read_evaluations

TRAIN = ["--env", "gradgym/NLinkPendulum-v0", "--env-kwargs", "n_links:1", "--seed", "1"]
ENHANCED = [*TRAIN, "--algo", "mbpo", "--enhancement", "policy"]
FEW_UPDATES = ["gradient_steps:10", "rollout_batch_size:500", "model_fit_kwargs.max_epochs:2", "checkpoint_freq:300"]


def weights(run_dir: Path) -> torch.Tensor:
    policy = load_checkpoint(run_dir / "checkpoint.pkl").algorithm.policy
    return torch.nn.utils.parameters_to_vector(policy.parameters())


def evaluations(run_dir: Path) -> list[dict[str, float]]:
    """Without what no two runs have in common."""
    return [{k: v for k, v in e.items() if k != "seconds"} for e in read_evaluations(run_dir)]
