"""The grasp metric Q1: its exact value, and an upper bound with derivatives (equation 3; see `wrenches.py`).

The exact value is found by an expanding polytope: its vertices are wrenches, so its inradius is a lower bound; the
support of all wrenches along the normal of its nearest facet is an upper bound, and gives the next vertex. Cones are
not discretised: whatever vertices the answer needs are found on the friction discs themselves.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .compiled import kernel
from .wrenches import friction_discs, spread_directions

Array = NDArray[Any]

_FLAT = 1e-6  # of the greatest wrench: thinner than this, the wrenches span no volume
# Of the greatest wrench, for one try after the other: noise that keeps coplanar vertices, which symmetric grasps have,
# from making facets without a plane.
_JOGGLES = (1e-7, 1e-6, 1e-5)
_POINTS, _FACETS = 2_000, 200_000
_NOISE = np.random.default_rng(0).uniform(-1.0, 1.0, (_POINTS, 6))


def q1(
    points: ArrayLike,
    normals: ArrayLike,
    friction: float = 0.7,
    torque_weight: float = 1.0,
    weights: ArrayLike | None = None,
    tolerance: float = 1e-4,
) -> float:
    """Exact Q1 of one grasp (equation 1; with weights, equation 2); 0 without force closure.

    Args:
        points: (N, 3) from the centre of mass [m].
        normals: (N, 3), unit, into the object.
        friction: µ.
        torque_weight: m of M = diag(1, 1, 1, m, m, m) [1/m²].
        weights: (N,), greatest force along each normal, ones if None.
        tolerance: the answer is at most this much of itself above the true value, and not below it; results below
            1e-6 of the greatest wrench are 0, and those near it have that error.

    Raises:
        ValueError: an array is of another shape or not finite, normals are not unit, weights negative.
        RuntimeError: rounding broke the polytope, in spite of noise.
    """
    p, n = np.asarray(points, dtype=np.float64), np.asarray(normals, dtype=np.float64)
    w = np.ones(len(p)) if weights is None else np.asarray(weights, dtype=np.float64)
    discs = friction_discs(torch.from_numpy(p), torch.from_numpy(n), torch.from_numpy(w), friction, torque_weight)
    centers, axes = (t.numpy() for t in discs)
    if not (np.isfinite(centers).all() and np.isfinite(w).all() and (w >= 0.0).all()):
        raise ValueError("points, normals and weights must be finite, and weights not negative")
    if len(n) and abs(np.linalg.norm(n, axis=1) - 1.0).max() > 1e-6:
        raise ValueError("normals must have length 1")
    scale = np.linalg.norm(centers, axis=1).max(initial=0.0)
    if scale == 0.0:
        return 0.0
    centers, axes = centers / scale, axes / scale
    simplex = _simplex(centers, axes)
    if simplex is None:
        return 0.0
    facets = np.empty((_FACETS, 2, 6), dtype=np.int32)
    planes, work = np.empty((_FACETS, 7)), np.empty((_FACETS, 7), dtype=np.int32)
    for joggle in _JOGGLES:
        vertices = joggle * _NOISE
        vertices[:7] += simplex
        radius = _inradius(centers, axes, vertices, tolerance, 5.0 * joggle, facets, planes, work)
        if np.isfinite(radius):
            return float(radius * scale) if radius > _FLAT else 0.0
    raise RuntimeError("Q1: rounding broke the polytope of wrenches, please report the points and normals")


def _simplex(centers: Array, axes: Array) -> Array | None:
    """Seven wrenches (7, 6) that span a volume; None where all are flat."""
    support = np.empty(6)
    found = np.empty((7, 6))
    _support(np.eye(6)[0], centers, axes, found[0])
    for k in range(1, 7):
        # a direction at right angles to those found, along which the wrenches reach farthest, from a fixed few
        spanned = np.linalg.svd(found[1:k] - found[0])[2][k - 1 :] if k > 1 else np.eye(6)
        reach = 0.0
        for u in (sign * v for v in spanned for sign in (1.0, -1.0)):
            _support(u, centers, axes, support)
            extent = abs(float(u @ (support - found[0])))
            if extent > reach:
                reach, found[k] = extent, support
        if reach < _FLAT:
            return None
    return found


@kernel
def _support(u: Array, centers: Array, axes: Array, point: Array) -> float:
    """max_i c_i·u + |B_i u|, and the wrench (6,) that reaches it."""
    best, which, b1, b2 = -np.inf, 0, 0.0, 0.0
    for i in range(len(centers)):
        c, y1, y2 = 0.0, 0.0, 0.0
        for k in range(6):
            c += centers[i, k] * u[k]
            y1 += axes[i, 0, k] * u[k]
            y2 += axes[i, 1, k] * u[k]
        h = c + np.sqrt(y1 * y1 + y2 * y2)
        if h > best:
            best, which, b1, b2 = h, i, y1, y2
    length = max(np.sqrt(b1 * b1 + b2 * b2), 1e-300)
    for k in range(6):
        point[k] = centers[which, k] + (axes[which, 0, k] * b1 + axes[which, 1, k] * b2) / length
    return best


@kernel
def _plane(corners: Array, vertices: Array, inside: Array, a: Array, plane: Array) -> None:
    """Outer unit normal and distance from 0 (7,) of the facet with six corners; z·(x - inside) = 1 on it."""
    for i in range(6):
        for k in range(6):
            a[i, k] = vertices[corners[i], k] - inside[k]
        a[i, 6] = 1.0
    for k in range(6):
        pivot = k
        for i in range(k + 1, 6):
            if abs(a[i, k]) > abs(a[pivot, k]):
                pivot = i
        for j in range(k, 7):
            a[k, j], a[pivot, j] = a[pivot, j], a[k, j]
        for i in range(k + 1, 6):
            f = a[i, k] / a[k, k]
            for j in range(k + 1, 7):
                a[i, j] -= f * a[k, j]
    square, offset = 0.0, 1.0
    for i in range(5, -1, -1):
        z = a[i, 6]
        for j in range(i + 1, 6):
            z -= a[i, j] * plane[j]
        plane[i] = z / a[i, i]
        square += plane[i] * plane[i]
        offset += plane[i] * inside[i]
    length = np.sqrt(square)
    for i in range(6):
        plane[i] /= length
    plane[6] = offset / length


@kernel
def _place(values: Array, value: int) -> int:
    """Where a value stands in six; -1 if it does not."""
    for k in range(6):
        if values[k] == value:
            return k
    return -1


@kernel
def _nearest(planes: Array, work: Array, count: int) -> int:
    """The facet of the least distance."""
    f, distance = 0, np.inf
    for g in range(count):
        if work[g, 6] == 0 and planes[g, 6] < distance:
            f, distance = g, planes[g, 6]
    return f


@kernel
def _seen_from(vertex: Array, f: int, facets: Array, planes: Array, work: Array, seen: Array) -> int:
    """How many facets, with f, have the vertex before them; `seen` lists them."""
    seen[0], count = f, 1
    work[f, 6] = 1
    i = 0
    while i < count:
        for k in range(6):
            g = facets[seen[i], 1, k]
            if work[g, 6] == 0:
                height = -planes[g, 6]
                for j in range(6):
                    height += planes[g, j] * vertex[j]
                if height > 1e-12:
                    work[g, 6] = 1
                    seen[count] = g
                    count += 1
        i += 1
    return count


@kernel
def _join(seen: Array, facets: Array, work: Array) -> bool:
    """Makes new facets neighbours: turns about what two of them share, through the facets seen; whether it can."""
    for f in seen:
        for k in range(6):
            if work[facets[f, 1, k], 6] == 1:
                continue
            for j in range(6):
                if j == k:
                    continue
                at, left, to, turns = f, facets[f, 0, k], j, 0
                while work[facets[at, 1, to], 6] == 1:
                    into = facets[at, 1, to]
                    back, next_ = _place(facets[into, 1], at), _place(facets[into, 0], left)
                    turns += 1
                    if back < 0 or next_ < 0 or turns > len(seen):
                        return False
                    at, left, to = into, facets[into, 0, back], next_
                facets[work[f, k], 1, j] = work[at, to]
    return True


@kernel
def _begin(vertices: Array, inside: Array, a: Array, facets: Array, planes: Array, work: Array) -> None:
    """The seven facets of the first seven vertices, and a point inside."""
    for k in range(7):
        inside += vertices[k] / 7.0
    for f in range(7):
        for k in range(6):
            facets[f, 0, k] = facets[f, 1, k] = k if k < f else k + 1
        _plane(facets[f, 0], vertices, inside, a, planes[f])
        work[f, 6] = 0


@kernel
def _inradius(
    centers: Array,
    axes: Array,
    vertices: Array,
    tolerance: float,
    rounding: float,
    facets: Array,
    planes: Array,
    work: Array,
) -> float:
    """Least support of all directions, by growing the simplex of the first seven vertices; NaN if rounding breaks it.

    Ends where the gap is within tolerance times the answer and rounding. Vertices come with the noise that is added to
    them. Facet f has corners facets[f, 0]; opposite to corner k lies facet facets[f, 1, k]. work[f, k] names the new
    facet on the ridge opposite to corner k; work[f, 6] is 0 for a facet of the hull, 1 while f is seen from the new
    vertex, 2 afterwards.
    """
    a, point, inside = np.empty((6, 7)), np.empty(6), np.zeros(6)
    seen, free = np.empty(len(facets), dtype=np.int32), np.empty(len(facets), dtype=np.int32)
    _begin(vertices, inside, a, facets, planes, work)
    count, n_free, best = 7, 0, np.inf
    for new in range(7, len(vertices)):
        nearest = _nearest(planes, work, count)
        best = min(best, _support(planes[nearest], centers, axes, point))
        if best <= 0.0 or best - planes[nearest, 6] <= tolerance * best + rounding:
            break
        for k in range(6):
            vertices[new, k] += point[k]
        n_seen = _seen_from(vertices[new], nearest, facets, planes, work, seen)
        if count + 6 * n_seen > len(facets):
            break
        for f in seen[:n_seen]:
            for k in range(6):
                outer = facets[f, 1, k]
                if work[outer, 6] == 1:
                    continue
                g = free[n_free - 1] if n_free > 0 else count
                n_free, count = (n_free - 1, count) if n_free > 0 else (n_free, count + 1)
                work[f, k], work[g, 6] = g, 0
                for j in range(6):
                    facets[g, 0, j] = facets[f, 0, j]
                facets[g, 0, k], facets[g, 1, k] = new, outer
                back = _place(facets[outer, 1], f)
                if back < 0:
                    return np.nan
                facets[outer, 1, back] = g
                _plane(facets[g, 0], vertices, inside, a, planes[g])
        if not _join(seen[:n_seen], facets, work):
            return np.nan
        for f in seen[:n_seen]:
            work[f, 6] = 2
            free[n_free] = f
            n_free += 1
    return best


def q1_upper(
    points: Tensor, normals: Tensor, weights: Tensor, friction: float, torque_weight: float, directions: int = 64
) -> Tensor:
    """Upper bound of Q1 by a fixed set of directions (equation 3), differentiable almost everywhere; 0 or more.

    Only the contact that reaches the least support has a gradient.

    Args:
        points: (..., N, 3) from the centre of mass [m].
        normals: (..., N, 3), unit, into the object.
        weights: (..., N), greatest force along the normal.
        friction: µ.
        torque_weight: m of M = diag(1, 1, 1, m, m, m) [1/m²].
        directions: how many, 12 or more; the first 12 are the axes and their opposites.

    Returns:
        (...).

    Raises:
        ValueError: as `friction_discs`, or directions is below 12.
    """
    centers, axes = friction_discs(points, normals, weights, friction, torque_weight)
    u = spread_directions(directions).to(points)
    with torch.no_grad():  # the search; one contact and one direction a grasp are all that has a derivative
        flat = (x.detach().reshape(-1, *x.shape[-k:]).cpu().numpy() for x, k in ((centers, 2), (axes, 3)))
        found = torch.from_numpy(_least_supports(*flat, u.cpu().numpy())).to(u.device)
        direction, contact = (x.reshape(*centers.shape[:-2], 1) for x in found)
        contact = contact[..., None]
    u = u.T[direction[..., 0]]
    center = centers.gather(-2, contact.expand(*contact.shape[:-1], 6))[..., 0, :]
    pair = axes.gather(-3, contact[..., None].expand(*contact.shape[:-1], 2, 6))[..., 0, :, :]
    return torch.relu((center * u).sum(-1) + torch.linalg.vector_norm((pair * u[..., None, :]).sum(-1), dim=-1))


@kernel
def _least_supports(centers: Array, axes: Array, u: Array) -> Array:
    """Of each grasp the direction, a column of u (6, K), of the least support, and the contact that reaches it."""
    found = np.zeros((2, len(centers)), np.int64)
    support, height, which = (
        np.empty(u.shape[1], u.dtype),
        np.empty(u.shape[1], u.dtype),
        np.zeros(u.shape[1], np.int64),
    )
    for i in range(len(centers)):
        support[:] = -np.inf
        for j in range(centers.shape[1]):
            c, b, d = centers[i, j], axes[i, j, 0], axes[i, j, 1]
            for k in range(len(height)):  # by itself, so that one instruction works on several
                y = b[0] * u[0, k] + b[1] * u[1, k] + b[2] * u[2, k] + b[3] * u[3, k] + b[4] * u[4, k] + b[5] * u[5, k]
                z = d[0] * u[0, k] + d[1] * u[1, k] + d[2] * u[2, k] + d[3] * u[3, k] + d[4] * u[4, k] + d[5] * u[5, k]
                x = c[0] * u[0, k] + c[1] * u[1, k] + c[2] * u[2, k] + c[3] * u[3, k] + c[4] * u[4, k] + c[5] * u[5, k]
                height[k] = x + np.sqrt(y * y + z * z)
            for k in range(len(height)):
                if height[k] > support[k]:
                    support[k], which[k] = height[k], j
        found[0, i] = np.argmin(support)
        found[1, i] = which[found[0, i]]
    return found
