"""All contacts of a pose: broad phase by bounding spheres, then the pair's own geometry."""

from .._jit import kernel
from ..data import Data
from ..model import Model
from .round_geoms import collide_round, within_reach


@kernel
def collide(m: Model, d: Data) -> None:
    """Fill ncon, con_pair, con_dist, con_pos, con_frame."""
    d.ncon[0] = 0
    for pair in range(m.npair):
        if within_reach(m, d, pair):
            collide_round(m, d, pair)
