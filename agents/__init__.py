"""Algorithms that use the simulator's gradients, as Stable-Baselines3 classes, beside SB3's own."""

from stable_baselines3 import PPO, SAC

from .critic import BatchedSACPolicy
from .ensemble import ProbabilisticEnsemble
from .mbpo import MBPO

ALGORITHMS = {"mbpo": MBPO, "sac": SAC, "ppo": PPO}
"""Names of the command line."""

__all__ = ["ALGORITHMS", "MBPO", "PPO", "SAC", "BatchedSACPolicy", "ProbabilisticEnsemble"]
