"""Symmetries of planar pushing under gravity: what is seen in a mirror, or a few pixels to the side, is as true.

Beyond the paper. A picture's column is a length of the world, so both are exact for videos too.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...envs.pushing_scene import WORKSPACE
from ...envs.pushing_video import FRAME
from .parameters import Batch, MechanicalParameters, jacobian

COLUMN = float(WORKSPACE[0, 1] - WORKSPACE[0, 0]) / FRAME
"""Width of a picture's column [m]."""


@dataclass(frozen=True)
class Symmetries:
    """One for each of B tasks: mirrored at x = 0 or not, then moved to the right.

    Attributes:
        mirrored: (B,) bool. The order of fingers is reversed too, from left to right again.
        columns: (B,) int64, to the right [pixels].
    """

    mirrored: Tensor
    columns: Tensor

    @staticmethod
    def draw(video: Tensor, generator: torch.Generator, *, mirror: bool, columns: int) -> "Symmetries":
        """At random for videos (B, T, H, W, 3) of uint8 on white.

        Args:
            video: of the tasks.
            generator: of random numbers.
            mirror: whether half of the tasks are mirrored.
            columns: the most to either side; less where the object would leave the picture.
        """
        batch, width = video.shape[0], video.shape[3]
        mirrored = torch.rand(batch, generator=generator) < (0.5 if mirror else 0.0)
        seen = (video < 255).any(-1).any(2).any(1)
        seen = torch.where(mirrored[:, None], seen.flip(-1), seen)
        numbers = torch.arange(width).expand(batch, -1)
        left = numbers.masked_fill(~seen, width).amin(-1).clamp(max=columns)
        right = (width - 1 - numbers.masked_fill(~seen, -1).amax(-1)).clamp(max=columns)
        share = torch.rand(batch, generator=generator)
        return Symmetries(mirrored, (share * (left + right + 1)).long() - left)

    def __call__(self, batch: Batch) -> Batch:
        """Tasks (B), each as its symmetry shows it."""
        known = batch.parameters
        sign = 1.0 - 2.0 * self.mirrored.to(known.r.dtype)
        r = torch.cat([self.points(known.r[..., :2]), known.r[..., 2:] * sign[:, None, None]], dim=-1)
        parameters = MechanicalParameters(
            r=r,
            jacobian=jacobian(self._fingers(self.vectors(known.arms))),
            # Counterclockwise stays counterclockwise, of vertices and of rays.
            facets=self._fingers(self._pairs(self.points(known.facets))),
            cones=self._fingers(self._pairs(self.vectors(known.cones))),
            p_e=self.points(known.p_e),
            cones_e=self._pairs(self.vectors(known.cones_e)),
            inertia=known.inertia,
        )
        p, lam = self._fingers(self.points(batch.p)), self._fingers(self.vectors(batch.lam))
        return Batch(video=self._video(batch.video), parameters=parameters, p=p, lam=lam)

    def back(self, points: Tensor) -> Tensor:
        """Fingers' points (B, T, N, 2) [m] in the symmetric tasks, in those themselves."""
        moved = points - self._shift(points)
        return self._fingers(self.vectors(moved))

    def points(self, points: Tensor) -> Tensor:
        """Points (B, ..., 2) [m] where they are seen."""
        return self.vectors(points) + self._shift(points)

    def vectors(self, vectors: Tensor) -> Tensor:
        """Vectors (B, ..., 2) as they are seen."""
        sign = 1.0 - 2.0 * self.mirrored.to(vectors.dtype)
        flip = torch.stack([sign, torch.ones_like(sign)], dim=-1)
        return vectors * flip.reshape(-1, *[1] * (vectors.dim() - 2), 2)

    def _shift(self, points: Tensor) -> Tensor:
        shift = COLUMN * self.columns.to(points.dtype)
        shift = torch.stack([shift, torch.zeros_like(shift)], dim=-1)
        return shift.reshape(-1, *[1] * (points.dim() - 2), 2)

    def _fingers(self, x: Tensor) -> Tensor:
        """(B, T, N, ...) in reversed order where mirrored."""
        return self._where(x.flip(2), x)

    def _pairs(self, x: Tensor) -> Tensor:
        """(..., 2, 2) with both rows exchanged where mirrored."""
        return self._where(x.flip(-2), x)

    def _where(self, mirrored: Tensor, straight: Tensor) -> Tensor:
        return torch.where(self.mirrored.reshape(-1, *[1] * (straight.dim() - 1)), mirrored, straight)

    def _video(self, video: Tensor) -> Tensor:
        """The columns that a shift brings in from the other side are white, see `draw`."""
        video = self._where(video.flip(3), video)
        width = video.shape[3]
        columns = (torch.arange(width) - self.columns[:, None]) % width
        return video.gather(3, columns[:, None, None, :, None].expand_as(video))
