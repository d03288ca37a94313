"""Algorithms that use the simulator's gradients, as Stable-Baselines3 classes, beside SB3's own."""

from pathlib import Path

from .baselines import PPO, SAC
from .consistency.consistency import Consistency
from .consistency.relaxed_consistency import RelaxedConsistency
from .mbpo.ensemble import ProbabilisticEnsemble
from .mbpo.mbpo import MBPO
from .mbpo.sac_policy import BatchedSACPolicy
from .policy_gradient.bptt import BPTT
from .policy_gradient.ilqr import ILQR
from .policy_gradient.shac import SHAC
from .training.algorithm import ALGORITHMS
from .training.configuration import DatasetConfig
from .training.dataset_training import DATASET_TRAININGS, DatasetTraining

ALGORITHMS.update(mbpo=MBPO, sac=SAC, ppo=PPO, shac=SHAC, bptt=BPTT, ilqr=ILQR)
ALGORITHMS.update(consistency=Consistency, relaxed_consistency=RelaxedConsistency)


def _grasp(config: DatasetConfig, run_dir: Path) -> DatasetTraining:
    # Imported when asked for: it takes a second, and needs the extra "grasp".
    from .grasp.grasp_training import GraspTraining

    return GraspTraining.from_config(config, run_dir)


def _pushing(config: DatasetConfig, run_dir: Path) -> DatasetTraining:
    from .pushing.pushing_training import PushingTraining

    return PushingTraining.from_config(config, run_dir)


DATASET_TRAININGS.update(grasp=_grasp, pushing=_pushing)

__all__ = [
    "ALGORITHMS",
    "BPTT",
    "DATASET_TRAININGS",
    "ILQR",
    "MBPO",
    "PPO",
    "SAC",
    "SHAC",
    "BatchedSACPolicy",
    "Consistency",
    "ProbabilisticEnsemble",
    "RelaxedConsistency",
]
