"""Mechanical parameters of planar pushing and batches of labelled videos, as tensors.

Aceituno et al., "A Differentiable Recipe for Learning Visual Non-Prehensile Planar Manipulation", equations 4 and 5 and
appendix A: what a video is derendered to, and what inverse dynamics needs to know.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MechanicalParameters:
    """Of B tasks with T knots and N fingers; lengths in m, in the world's frame.

    The paper does not list `inertia`, which its implementation sets to 1; the mass is 1 kg.

    Attributes:
        r: (B, T, 3) pose of the object's centre of mass, x, y [m] and angle [rad], counterclockwise.
        jacobian: (B, T, 3, 2 N) transposed contact Jacobian: the wrench about the centre of mass [N, N, N m] of the
            fingers' forces is its product with them, force of finger c in columns 2 c and 2 c + 1.
        facets: (B, T, N, 2, 2) the two vertices of the facet that finger c touches.
        cones: (B, T, N, 2, 2) the two unit edge rays of its friction cone, pointing into the object.
        p_e: (B, T, 2) where the environment's force acts.
        cones_e: (B, T, 2, 2) unit edge rays of its friction cone, into the object; zero where nothing touches.
        inertia: (B, T) about the centre of mass [kg m^2]; constant in time for a rigid body.
    """

    r: Tensor
    jacobian: Tensor
    facets: Tensor
    cones: Tensor
    p_e: Tensor
    cones_e: Tensor
    inertia: Tensor

    def __post_init__(self) -> None:
        if self.r.dim() != 3 or self.facets.dim() != 5:
            got = tuple(self.r.shape), tuple(self.facets.shape)
            raise ValueError(f"r and facets have shapes {got}: must be (B, T, 3) and (B, T, N, 2, 2)")
        b, t = self.r.shape[:2]
        n = self.num_fingers
        expected = {
            "r": (3,),
            "jacobian": (3, 2 * n),
            "facets": (n, 2, 2),
            "cones": (n, 2, 2),
            "p_e": (2,),
            "cones_e": (2, 2),
            "inertia": (),
        }
        for name, shape in expected.items():
            got = tuple(getattr(self, name).shape)
            if got != (b, t, *shape):
                raise ValueError(f"{name} has shape {got}: must be {(b, t, *shape)}, as r and facets have it")

    @property
    def num_fingers(self) -> int:
        return self.facets.shape[2]

    @classmethod
    def from_numpy(cls, arrays: Mapping[str, NDArray[np.float64]]) -> "MechanicalParameters":
        """From arrays by the attributes' names, with leading batch axis; `inertia` may be (B,). To float64.

        Raises:
            ValueError: one is missing, not finite, or of another shape.
        """
        tensors: dict[str, Tensor] = {}
        for field in fields(cls):
            if field.name not in arrays:
                raise ValueError(f"mechanical parameters lack {field.name!r}: have {sorted(arrays)}")
            array = np.array(arrays[field.name], np.float64)
            if not np.isfinite(array).all():
                raise ValueError(f"{field.name} holds numbers that are not finite")
            tensors[field.name] = torch.tensor(array)
        if tensors["inertia"].dim() == 1:
            tensors["inertia"] = tensors["inertia"][:, None].expand(tensors["r"].shape[:2])
        return cls(**tensors)

    def __getitem__(self, which: Tensor) -> "MechanicalParameters":
        """Tasks by number or mask."""
        return MechanicalParameters(**{field.name: getattr(self, field.name)[which] for field in fields(self)})

    def to(self, dtype: torch.dtype) -> "MechanicalParameters":
        return MechanicalParameters(**{field.name: getattr(self, field.name).to(dtype) for field in fields(self)})

    def flatten(self) -> Tensor:
        """What a network predicts, (B, T, 10 + 10 N): numbers that it can know, and none that are always the same.

        In order: x, y [m]; angle since the first knot [rad], for a picture shows no more; lever arms of the fingers
        (N, 2), facets (N, 2, 2), p_e (2,), all from the centre of mass [m]; cones (N, 2, 2); cones_e (2, 2); log of
        the inertia in kg m². The first two rows of `jacobian` are identities; the third holds the lever arms.
        """
        place = self.r[..., :2]
        turned = self.r[..., 2:] - self.r[:, :1, 2:]
        facets = self.facets - place[..., None, None, :]
        parts = [self.arms, facets, self.p_e - place, self.cones, self.cones_e, self.inertia.log()]
        return torch.cat([place, turned, *(part.reshape(*turned.shape[:2], -1) for part in parts)], dim=-1)

    @property
    def arms(self) -> Tensor:
        """Where fingers touch, seen from the centre of mass (B, T, N, 2) [m], by the third row of the Jacobian."""
        row = self.jacobian[..., 2, :].unflatten(-1, (-1, 2))
        return torch.stack([row[..., 1], -row[..., 0]], dim=-1)

    @staticmethod
    def unflatten(flat: Tensor, num_fingers: int) -> "MechanicalParameters":
        """Back from `flatten`; the first knot's angle is 0, and cones are made unit rays (not `cones_e`)."""
        n = num_fingers
        sizes = [2, 1, 2 * n, 4 * n, 2, 4 * n, 4, 1]
        place, turned, arms, facets, p_e, cones, cones_e, inertia = flat.split(sizes, dim=-1)
        return MechanicalParameters(
            r=torch.cat([place, turned - turned[:, :1]], dim=-1),
            jacobian=jacobian(arms.unflatten(-1, (n, 2))),
            facets=facets.unflatten(-1, (n, 2, 2)) + place[..., None, None, :],
            cones=torch.nn.functional.normalize(cones.unflatten(-1, (n, 2, 2)), dim=-1),
            p_e=p_e + place,
            cones_e=cones_e.unflatten(-1, (2, 2)),
            inertia=inertia.squeeze(-1).exp(),
        )


def jacobian(arms: Tensor) -> Tensor:
    """Wrench about the centre of mass by forces at these lever arms: (..., N, 2) to (..., 3, 2 N)."""
    moment = torch.stack([-arms[..., 1], arms[..., 0]], dim=-1).flatten(-2)
    identity = torch.eye(2, dtype=arms.dtype, device=arms.device).repeat(1, arms.shape[-2])
    return torch.cat([identity.expand(*moment.shape[:-1], 2, -1), moment[..., None, :]], dim=-2)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B tasks: goal video and what the oracle found.

    Attributes:
        video: (B, T, H, W, 3) uint8, object on white.
        parameters: mechanical parameters, float64; their r is the goal.
        p: (B, T, N, 2) contact points [m].
        lam: (B, T, N, 2) fingers' forces on the object [N].
    """

    video: Tensor
    parameters: MechanicalParameters
    p: Tensor
    lam: Tensor

    def __post_init__(self) -> None:
        shape = (*self.parameters.r.shape[:2], self.parameters.num_fingers, 2)
        for name, got in (("p", tuple(self.p.shape)), ("lam", tuple(self.lam.shape))):
            if got != shape:
                raise ValueError(f"{name} has shape {got}: must be {shape}, as the parameters have it")
        if self.video.dim() != 5 or tuple(self.video.shape[:2]) != shape[:2]:
            raise ValueError(f"video has shape {tuple(self.video.shape)}: must be {(*shape[:2], 'H', 'W', 3)}")

    def __len__(self) -> int:
        return len(self.video)

    def __getitem__(self, which: Tensor) -> "Batch":
        """Tasks by number or mask."""
        return Batch(video=self.video[which], parameters=self.parameters[which], p=self.p[which], lam=self.lam[which])

    def ordered(self) -> "Batch":
        """With fingers from left to right, by their mean x: which one is called the first is then no riddle."""
        order = self.p[..., 0].mean(1).argsort(dim=-1, stable=True)
        rows = torch.arange(len(self))[:, None]

        def along(x: Tensor) -> Tensor:
            return x.transpose(1, 2)[rows, order].transpose(1, 2)

        known = self.parameters
        parameters = replace(
            known,
            jacobian=jacobian(along(known.arms)),
            facets=along(known.facets),
            cones=along(known.cones),
        )
        return Batch(video=self.video, parameters=parameters, p=along(self.p), lam=along(self.lam))
