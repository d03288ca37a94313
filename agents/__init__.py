"""Algorithms that use the simulator's gradients, as Stable-Baselines3 classes, beside SB3's own."""

from .baselines import PPO, SAC
from .consistency.consistency import Consistency
from .consistency.relaxed_consistency import RelaxedConsistency
from .mbpo.ensemble import ProbabilisticEnsemble
from .mbpo.mbpo import MBPO
from .mbpo.sac_policy import BatchedSACPolicy
from .policy_gradient.bptt import BPTT
from .policy_gradient.shac import SHAC
from .training.algorithm import ALGORITHMS

ALGORITHMS.update(mbpo=MBPO, sac=SAC, ppo=PPO, shac=SHAC, bptt=BPTT)
ALGORITHMS.update(consistency=Consistency, relaxed_consistency=RelaxedConsistency)

__all__ = [
    "ALGORITHMS",
    "BPTT",
    "MBPO",
    "PPO",
    "SAC",
    "SHAC",
    "BatchedSACPolicy",
    "Consistency",
    "ProbabilisticEnsemble",
    "RelaxedConsistency",
]
