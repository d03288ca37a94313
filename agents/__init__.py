"""Algorithms that use the simulator's gradients, as Stable-Baselines3 classes, beside SB3's own."""

from stable_baselines3 import PPO, SAC

from .bptt import BPTT
from .critic import BatchedSACPolicy
from .ensemble import ProbabilisticEnsemble
from .mbpo import MBPO
from .shac import SHAC

ALGORITHMS = {"mbpo": MBPO, "sac": SAC, "ppo": PPO, "shac": SHAC, "bptt": BPTT}
"""Names of the command line."""

__all__ = ["ALGORITHMS", "BPTT", "MBPO", "PPO", "SAC", "SHAC", "BatchedSACPolicy", "ProbabilisticEnsemble"]
