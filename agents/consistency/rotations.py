"""Rotations of batches as matrices and vectors: exponential, logarithm and their derivatives. Angles in rad."""

import torch
from torch import Tensor


def skew(v: Tensor) -> Tensor:
    """(..., 3) to the matrix (..., 3, 3) of the cross product with it."""
    zero = torch.zeros_like(v[..., 0])
    x, y, z = v.unbind(-1)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def exp(v: Tensor) -> Tensor:
    """The rotation (..., 3, 3) by |v| about v (..., 3)."""
    square, k = v.square().sum(-1)[..., None, None], skew(v)
    small, angle = square < 1e-6, (square + 1e-20).sqrt()
    sine = torch.where(small, 1.0 - square / 6.0, angle.sin() / angle)
    cosine = torch.where(small, 0.5 - square / 24.0, (1.0 - angle.cos()) / square.clamp_min(1e-12))
    return torch.eye(3, dtype=v.dtype) + sine * k + cosine * (k @ k)


def left_jacobian(v: Tensor) -> Tensor:
    """J (..., 3, 3) with exp(v + dv) = exp(J dv) exp(v) to first order."""
    square, k = v.square().sum(-1)[..., None, None], skew(v)
    small, angle = square < 1e-4, (square + 1e-20).sqrt()
    first = torch.where(small, 0.5 - square / 24.0, (1.0 - angle.cos()) / square.clamp_min(1e-12))
    second = torch.where(small, 1.0 / 6.0 - square / 120.0, (angle - angle.sin()) / (square * angle).clamp_min(1e-18))
    return torch.eye(3, dtype=v.dtype) + first * k + second * (k @ k)


def log(rotation: Tensor) -> Tensor:
    """The vector (..., 3), no longer than pi, of a rotation matrix (..., 3, 3)."""
    quat = quaternion(rotation)
    w, v = quat[..., :1], quat[..., 1:]
    norm = (v.square().sum(-1, keepdim=True) + 1e-24).sqrt()
    return torch.where(norm < 1e-6, 2.0 * v, 2.0 * torch.atan2(norm, w) / norm * v)


def quaternion(rotation: Tensor) -> Tensor:
    """Unit quaternion (..., 4), its real part not negative, of a rotation matrix (..., 3, 3)."""
    m = rotation
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    # Four times the products of the entries: each row is the quaternion, times one of its entries.
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    diagonal = [1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz]
    rows = [
        [diagonal[0], wx, wy, wz],
        [wx, diagonal[1], xy, xz],
        [wy, xy, diagonal[2], yz],
        [wz, xz, yz, diagonal[3]],
    ]
    table = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    largest = torch.stack(diagonal, dim=-1).argmax(-1)[..., None, None].expand(*m.shape[:-2], 1, 4)
    quat = table.gather(-2, largest).squeeze(-2)
    quat = quat / quat.norm(dim=-1, keepdim=True)
    return torch.where(quat[..., :1] < 0.0, -quat, quat)


def matrix(quat: Tensor) -> Tensor:
    """Rotation matrix (..., 3, 3) of a quaternion (..., 4) of any length."""
    w, x, y, z = (quat / quat.norm(dim=-1, keepdim=True)).unbind(-1)
    entries = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def apply(rotation: Tensor, v: Tensor) -> Tensor:
    """The product of matrices (..., n, m) with vectors (..., m)."""
    return (rotation @ v[..., None]).squeeze(-1)


def apply_inverse(rotation: Tensor, v: Tensor) -> Tensor:
    """The product of transposed matrices (..., m, n) with vectors (..., m)."""
    return (rotation.transpose(-1, -2) @ v[..., None]).squeeze(-1)
