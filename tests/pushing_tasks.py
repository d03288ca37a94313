"""Squares that fingers push, planned by the oracle, as labelled videos."""

import numpy as np
import torch

from gradgym.agents.pushing.oracle import plan_contacts
from gradgym.agents.pushing.parameters import Batch, MechanicalParameters
from gradgym.agents.pushing.trajectories import random_trajectory
from gradgym.envs.polygon import Polygon
from gradgym.envs.pushing_video import video


def pushed_squares(number: int, seed: int, num_fingers: int = 2) -> Batch:
    square = Polygon(0.06 * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]))
    rng, plans = np.random.default_rng(seed), []
    while len(plans) < number:
        plan = plan_contacts(square, random_trajectory(square, rng), num_fingers)
        if plan is not None:
            plans.append(plan)
    names = ("r", "jacobian", "facets", "cones", "p_e", "cones_e")
    arrays = {name: np.stack([getattr(plan, name) for plan in plans]) for name in names}
    arrays["inertia"] = np.full(number, square.inertia)
    videos = np.stack([video(square, plan.r) for plan in plans])
    p, lam = (torch.from_numpy(np.stack([getattr(plan, name) for plan in plans])) for name in ("p", "lam"))
    return Batch(
        video=torch.from_numpy(videos), parameters=MechanicalParameters.from_numpy(arrays), p=p, lam=lam
    ).ordered()
