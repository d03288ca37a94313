"""What a policy file holds of a policy."""

from typing import Any, NamedTuple

from torch import Tensor


class PolicyState(NamedTuple):
    """What an algorithm needs to make its policy again, to act."""

    settings: dict[str, Any]  # as JSON has them
    weights: dict[str, Tensor]
