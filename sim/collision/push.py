"""Forces that cotangents of points and axes exert on bodies, lane by lane."""

from .._jit import kernel
from ..data import Data, Lanes
from ..model import Model
from ..rotation import Vec3, add3, cross3, load3, sub3


@kernel
def push(m: Model, d: Data, w: Lanes, b: int, k: int, point: Vec3, force: Vec3, torque: Vec3) -> None:
    """Add a force at `point` and a torque to body `b` in lane `k` of `wcor`."""
    if b == 0:
        return
    moment = add3(torque, cross3(sub3(point, load3(d.subtree_com, m.body_rootid[b])), force))
    for i in range(3):
        w.wcor[b, i, k] += moment[i]
        w.wcor[b, 3 + i, k] += force[i]
