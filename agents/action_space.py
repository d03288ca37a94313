"""From actions in [-1, 1], which policies give, to those of an environment."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor


def unscale(action: Tensor, space: spaces.Space[Any]) -> Tensor:
    """The box's actions (..., n_act) for those in [-1, 1]; differentiable, and else SB3's `unscale_action`."""
    assert isinstance(space, spaces.Box)
    low, high = (torch.from_numpy(x).to(action) for x in (space.low, space.high))
    return low + 0.5 * (action + 1.0) * (high - low)


def unscale_slope(space: spaces.Space[Any]) -> NDArray[np.float64]:
    """Derivative of the environment's action by the one in [-1, 1], (n_act,)."""
    assert isinstance(space, spaces.Box)
    return (space.high.astype(np.float64) - space.low) / 2.0
