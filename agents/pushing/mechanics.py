"""What a planar motion of an object asks of the forces on it: accelerations, wrenches, contacts with the ground.

Knots are DT apart. Forces are those at the knots and go linearly from one to the next, so a knot's force makes the
object change, in the time of half an interval to either side, from one interval's mean velocity to the next one's.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...envs.polygon import Polygon, placed
from ...envs.pushing_scene import FRICTION, GRAVITY, KNOT_SECONDS, MASS

DT = KNOT_SECONDS  # between knots [s]
CONE_FRICTION = 0.7  # of plans; the simulator has more, so that plans have a margin
TOUCH = 1e-7  # what is lower touches the ground [m]
_SLIP = 0.02  # a vertex that is slower along the ground may stick [m/s]

Floats = NDArray[np.float64]


class GroundContact(NamedTuple):
    """Of one knot: V vertices that push on the ground, none where the object leaves it or falls onto it there."""

    points: Floats  # (V, 2) [m, world]
    rays: Floats  # (2, 2) unit rays of the friction cone, world; both the same where the contact slides


def accelerations(r: Floats, dt: float = DT) -> Floats:
    """Second differences of poses (T, 3), (T, 3) [m/s^2, rad/s^2]; none at both ends.

    The object starts with the first interval's mean velocity and leaves the last knot with the last one's.
    """
    a = np.zeros_like(r)
    a[1:-1] = (r[2:] - 2.0 * r[1:-1] + r[:-2]) / dt**2
    return a


def required_wrenches(polygon: Polygon, r: Floats) -> Floats:
    """M rddot + G, (T, 3) [N, N, N m]: force and torque about the centre of mass, in the world's frame."""
    a = accelerations(r)
    return MASS * np.stack([a[:, 0], a[:, 1] + GRAVITY, polygon.inertia * a[:, 2]], axis=1)


def cone_rays(normal: Floats, friction: float) -> Floats:
    """Unit edge rays of cones about unit normals (..., 2), (..., 2, 2): the one turned clockwise first."""
    along = np.stack([-normal[..., 1], normal[..., 0]], axis=-1)
    rays = np.stack([normal - friction * along, normal + friction * along], axis=-2)
    return rays / np.sqrt(1.0 + friction**2)


def ground_contacts(polygon: Polygon, r: Floats) -> list[GroundContact]:
    """Where and how the ground y = 0 can push at each of the T knots of a motion (T, 3).

    It pushes where the object stays on it in the intervals before and after. Its cone is whole where a vertex sticks,
    or turns round; where it slides it is one ray, against the motion, with the simulator's friction: what must slip
    has no margin.
    """
    vertices = placed(polygon.vertices, r)  # (T, F, 2)
    down = vertices[..., 1].min(axis=1) < TOUCH
    stays = down[1:] & down[:-1]
    supported = np.append(True, stays) & np.append(stays, True)
    rate = np.diff(r, axis=0) / DT
    contacts: list[GroundContact] = []
    for t in range(len(r)):
        touching = vertices[t][vertices[t, :, 1] < TOUCH] if supported[t] else np.zeros((0, 2))
        rays = np.zeros((2, 2))
        if len(touching):
            before_and_after = rate[max(t - 1, 0) : t + 1]
            height = touching.mean(axis=0)[1] - r[t, 1]
            slip = before_and_after[:, 0] - before_and_after[:, 2] * height
            rays = cone_rays(np.array([0.0, 1.0]), CONE_FRICTION)
            for side in (-1.0, 1.0):
                if (side * slip > _SLIP).all():
                    rays = cone_rays(np.array([0.0, 1.0]), FRICTION)[[1, 1] if side > 0.0 else [0, 0]]
        contacts.append(GroundContact(touching, rays))
    return contacts
