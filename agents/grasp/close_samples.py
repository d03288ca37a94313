"""Which of a hand's samples are near an object: the first of them are asked, and bound how near the others can be."""

import numpy as np
import torch
from numpy.typing import NDArray

from .hand import Links
from .hand_surface import FIRST, Surface
from .object_mesh import ObjectMesh


def close_samples(mesh: ObjectMesh, surface: Surface, links: Links, within: float) -> NDArray[np.bool_]:
    """Samples of n hands that may be inside the object or no farther outside than `within` [m], (n, P).

    No such sample is left out: a distance differs from that of the sample's guide by no more than they are apart.
    """
    body, position = (torch.from_numpy(x[:FIRST]) for x in (surface.body, surface.position))
    points = links.points(body, position).detach().numpy()
    least = np.linalg.norm(points - mesh.center_of_mass, axis=-1) - mesh.radius
    farthest = np.zeros(len(body))
    np.maximum.at(farthest, surface.guide, surface.apart)
    asked = least <= farthest + within
    least[asked] = mesh.closest(points[asked]).distance
    return least[:, surface.guide] <= surface.apart + within
