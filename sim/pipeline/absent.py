"""What stands in place of kernels that a model does without: one for each form of call."""

from ..kernels.jit import kernel
from ..kernels.rotation import Vec3
from ..model.data import Data, Lanes
from ..model.model import Model


@kernel
def nothing(m: Model, d: Data) -> None:
    """In place of a part that the model lacks."""


@kernel
def nothing_adj(m: Model, d: Data, w: Lanes) -> None:
    """The adjoint of `nothing`."""


@kernel
def nothing_ahead_adj(m: Model, d: Data, w: Lanes, implicit_time: float) -> None:
    """The same, for forces that implicitfast takes ahead."""


@kernel
def nothing_of_one(m: Model, d: Data, index: int) -> None:
    """In place of what the model lacks for a pair of geoms, or a contact."""


@kernel
def nothing_of_one_adj(m: Model, d: Data, w: Lanes, index: int) -> None:
    """The adjoint of `nothing_of_one`."""


@kernel
def nothing_of_equality_adj(
    m: Model, d: Data, w: Lanes, r: int, t: int, slope: float, bend: float, rate: float
) -> None:
    """In place of `spatial_equality_adj`."""


@kernel
def never(m: Model, index: int) -> bool:  # noqa: ARG001 (in place of a kernel that uses both)
    """In place of whether something of the model is so."""
    return False


@kernel
def no_support(_d: Data, direction: Vec3) -> tuple[Vec3, int]:
    """In place of the support point of a prism, in a model without height fields."""
    return direction, 0


@kernel
def no_corner(_d: Data, _corner: int) -> Vec3:
    """In place of its corner."""
    return 0.0, 0.0, 0.0


@kernel
def no_faces(_d: Data, _side: int) -> int:
    """In place of its faces."""
    return 0


@kernel
def no_face(_d: Data, _face: int, _row: int) -> int:
    """In place of one of them."""
    return 0
