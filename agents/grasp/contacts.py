"""What a grasp is worth as it stands: its contacts, their exact metric, and how deep the hand is inside."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .close_samples import close_samples
from .compiled import kernel
from .grasps import Grasps
from .hand import Hand, Links
from .link_depths import ObjectInHand, SelfCollision
from .object_mesh import ObjectMesh
from .q1 import q1

TOUCHING = 0.002  # farther from the surface, to either side, is no contact [m]
OPPOSED = 0.5  # least cosine of the hand's normal and the object's inward one at a contact
APART = 0.004  # of contacts of which one is enough [m]
_OBJECT_SAMPLES = 8_000


def measure(
    mesh: ObjectMesh,
    hand: Hand,
    pose: NDArray[np.float64],
    joints: NDArray[np.float64],
    friction: float = 0.7,
    torque_weight: float | None = None,
) -> Grasps:
    """Grasps of poses (n, 7) and joints (n, J), with their metric and depths by all samples of the hand's surface.

    Penetration is the deeper of the hand in the object and the object in one of the hand's links.
    Contacts are samples within 2 mm of the surface, to either side, of whose clusters of 4 mm the nearest counts.
    `torque_weight` is 1 / radius² of the mesh by default [1/m²].
    """
    surface = hand.surface
    m = mesh.radius**-2 if torque_weight is None else torque_weight
    links = hand.links(torch.from_numpy(pose), torch.from_numpy(joints))
    close = close_samples(mesh, surface, links, TOUCHING)
    quality, depth = np.zeros(len(pose)), ObjectInHand(mesh, hand, _OBJECT_SAMPLES).deepest(links)
    for i in range(len(pose)):
        own = Links(links.position[i], links.rotation[i])
        body, position, normal = (
            torch.from_numpy(x[close[i]]) for x in (surface.body, surface.position, surface.normal)
        )
        closest = mesh.closest(own.points(body, position).numpy())
        depth[i] = max(depth[i], -closest.distance.min(initial=0.0))
        facing = -(closest.normal * own.vectors(body, normal).numpy()).sum(axis=1) > OPPOSED
        able = np.flatnonzero((np.abs(closest.distance) < TOUCHING) & facing)
        able = able[np.abs(closest.distance[able]).argsort()]
        kept = able[thinned(closest.point[able])]
        quality[i] = q1(closest.point[kept] - mesh.center_of_mass, -closest.normal[kept], friction, m, tolerance=1e-3)
    return Grasps(
        pose=pose,
        joints=joints,
        joint_names=hand.joint_names,
        q1=quality,
        penetration=depth,
        self_penetration=SelfCollision(hand, len(surface.body)).deepest(links),
    )


@kernel
def thinned(points: Any) -> Any:
    """Whether each of points (P, 3) is farther than APART from all before it that are."""
    kept = np.zeros(len(points), np.bool_)
    for i in range(len(points)):
        kept[i] = True
        for j in range(i):
            if kept[j] and ((points[i] - points[j]) ** 2).sum() <= APART**2:
                kept[i] = False
                break
    return kept
