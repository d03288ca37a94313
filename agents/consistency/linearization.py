"""A relaxed rollout linearised by the network's parameters: gradient, products with J' J, and a preconditioner."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..optim.kronecker import KroneckerPreconditioner
from . import rollout_kernels as kernels
from .relaxed import LENGTH, Path
from .residual_kernels import Blocks, residual_product
from .residuals import Residuals
from .rollout_kernels import Constants, Dynamics, Geometry
from .rotations import apply, exp, left_jacobian
from .scene import Start


class Linearization:
    """Of the squared sum of all residuals, divided by the number of states; see `optim.gauss_newton.Linearized`.

    The non-linear pass is over when this is made: what follows is linear.

    Args:
        path: the rollout from `start` under `parameters`.
        weight: (B,) of each sample.
        rng: of the random residuals that the preconditioner is estimated from.
    """

    def __init__(
        self,
        residuals: Residuals,
        parameters: Tensor,
        path: Path,
        start: Start,
        weight: Tensor,
        rng: np.random.Generator,
    ) -> None:
        self.residuals, self.relaxed, self.path = residuals, residuals.relaxed, path
        self.layers = self.relaxed.network.unpack(parameters)
        self.count = path.pos.shape[0] * path.pos.shape[1]
        self.values = residuals.values(path, start)
        self.loss = weighted_loss(self.values, weight) / self.count
        self._blocks = residuals.blocks(path)
        self._weight, self._rng = weight, rng
        self._read()
        self._kronecker: KroneckerPreconditioner | None = None
        self.gradient = self._pull_back(self.values) / self.count

    def _read(self) -> None:
        relaxed, path, b, w = self.relaxed, self.path, self._blocks, self.residuals.weights
        h = relaxed.settings.timestep
        _, _, on_object, force = relaxed.split(path.x[1:])
        before = path.mat[:-1]
        arm = apply(before[:, :, None], on_object)
        torque = torch.linalg.cross(arm, force, dim=-1).sum(2)
        inverse = relaxed.world_inverse_inertia(before)
        turn = h * path.omega[1:]
        of_geometry: Any = path.mat, b["arm"], path.jacobian, path.frame_mat, b["error_by_turn"]
        self._geometry = Geometry(*map(_numbers, of_geometry))
        of_steps: Any = before, arm, force, inverse, torque, apply(inverse, torque), exp(turn), left_jacobian(turn)
        self._dynamics = Dynamics(*map(_numbers, of_steps))
        numbers = torch.tensor([h, relaxed.inverse_mass, relaxed.slow, relaxed.slow_spin])
        self._constants = Constants(*(_numbers(x.to(path.x)) for x in (relaxed.u_scale, relaxed.x_scale, numbers)))
        unit = relaxed.force_unit
        factors = [w.gap, w.reach, w.cone / unit, w.surface / LENGTH, w.overlap / LENGTH]
        factors += [w.orientation, w.position / LENGTH if relaxed.scene.free else 0.0, w.velocity, w.command, w.limit]
        given = torch.tensor([*(f * f for f in factors), unit])
        parts: dict[str, Tensor] = {
            **{name: b[name] for name in Blocks._fields if name in b},
            "sphere_jacobian": path.sphere_jacobian,
            "late": self.residuals.late.to(path.x),
            "weight": self._weight.to(path.x),
            "is_tip": relaxed.scene.is_tip.to(path.x),
            "factors": given.to(path.x),
        }
        self._numbers = Blocks(**{name: _numbers(x) for name, x in parts.items()})
        self._slopes = [1.0 - a * a for a in path.activations[1:]]
        steps, batch, n_x = path.x.shape
        empty = path.x.new_empty
        self._x, self._u, self._x_bar, self._u_bar = (empty(steps, batch, n_x) for _ in range(4))
        self._obj, self._obj_bar = empty(steps, batch, 12), empty(steps, batch, 12)
        self._inputs = empty(batch, relaxed.n_inputs)
        self._deltas = [empty(steps, batch, size) for size in relaxed.network.sizes[1:]]

    def product(self, v: Tensor) -> Tensor:
        """J' J v, over the number of states, (n_parameters,)."""
        self._push_forward(v)
        arrays: Any = self._x, self._obj, self._u, self._x_bar, self._obj_bar, self._u_bar
        given: Any = *(a.numpy() for a in arrays), self._geometry, self._numbers
        residual_product(*given)
        return self._reverse() / self.count

    def _push_forward(self, v: Tensor) -> None:
        """Tangents of the whole path, into `_x`, `_obj` and `_u`, for the parameters' tangent."""
        network, tangents = self.relaxed.network, self.relaxed.network.unpack(v)
        own = [
            torch.matmul(a, tangents[2 * i].t()).add_(tangents[2 * i + 1]) for i, a in enumerate(self.path.activations)
        ]
        x, obj, u, inputs = self._x.numpy(), self._obj.numpy(), self._u.numpy(), self._inputs.numpy()
        x[0], obj[0] = 0.0, 0.0
        last, n = len(x) - 1, self.relaxed.scene.n
        for t in range(last + 1):
            kernels.tangent_of_inputs(t, x, obj, inputs, self._geometry, self._constants)
            a = self._inputs
            for i in range(network.n_layers - 1):
                a = torch.addmm(own[i][t], a, self.layers[2 * i].t()).mul_(self._slopes[i][t])
            torch.addmm(own[-1][t], a, self.layers[-2].t(), out=self._u[t])
            if t < last:
                kernels.tangent_of_step(t, x, obj, u, self._dynamics, self._constants, n)

    def _reverse(self) -> Tensor:
        """Cotangents of the path in `_x_bar`, `_obj_bar` and `_u_bar`, which is used up, to those of the parameters."""
        network, n = self.relaxed.network, self.relaxed.scene.n
        x_bars, obj_bars, u_bar, inputs = (a.numpy() for a in (self._x_bar, self._obj_bar, self._u_bar, self._inputs))
        x_bar, obj_bar = np.zeros_like(x_bars[0]), np.zeros_like(obj_bars[0])
        last = len(x_bars) - 1
        for t in reversed(range(last + 1)):
            if t < last:
                kernels.adjoint_of_step(t, x_bar, obj_bar, u_bar, self._dynamics, self._constants, n)
            x_bar += x_bars[t]
            obj_bar += obj_bars[t]
            delta = self._u_bar[t]
            for i in reversed(range(network.n_layers)):
                self._deltas[i][t] = delta
                if i > 0:
                    delta = torch.mm(delta, self.layers[2 * i]).mul_(self._slopes[i - 1][t])
            torch.mm(delta, self.layers[0], out=self._inputs)
            kernels.adjoint_of_inputs(t, x_bar, obj_bar, inputs, self._geometry, self._constants)
        parts = []
        for delta, a in zip(self._deltas, self.path.activations, strict=True):
            flat = delta.flatten(0, 1)
            parts += [(flat.t() @ a.flatten(0, 1)).flatten(), flat.sum(0)]
        return torch.cat(parts)

    def _pull_back(self, cotangents: dict[str, Tensor], power: float = 1.0) -> Tensor:
        """Cotangents of the residuals, times each sample's weight to a power, to those of the parameters."""
        weight = self._weight**power
        scaled = {name: y * weight.view(1, -1, *[1] * (y.ndim - 2)) for name, y in cotangents.items()}
        self._x_bar[:], self._obj_bar[:], self._u_bar[:] = self.residuals.pull_back(self.path, self._blocks, scaled)
        return self._reverse()

    def preconditioner(self, damping: float) -> Callable[[Tensor], Tensor]:
        """Approximate inverse of J' J / count + damping, Kronecker-factored."""
        if self._kronecker is None:
            signs = {
                name: torch.from_numpy(2.0 * self._rng.integers(0, 2, y.shape) - 1.0).to(y)
                for name, y in self.values.items()
            }
            self._pull_back(signs, 0.5)
            self._kronecker = KroneckerPreconditioner(self.path.activations, self._deltas, self.count / _COHERENCE)
        return self._kronecker.inverse(damping)


# Adjoints of successive times add up: the sum over a rollout of T steps is larger than that of T independent ones.
_COHERENCE = 1000.0


def weighted_loss(values: dict[str, Tensor], weight: Tensor) -> float:
    """Sum of the squares of all residuals (T + 1, B, ...), each sample's times its weight (B,)."""
    return float((losses(values) * weight).sum())


def losses(values: dict[str, Tensor]) -> Tensor:
    """Of each sample the sum of squares, (B,)."""
    return torch.stack(
        [y.square().flatten(2).sum((0, 2)) if y.ndim > 2 else y.square().sum(0) for y in values.values()]
    ).sum(0)


def _numbers(tensor: Tensor) -> NDArray[np.floating]:
    return np.ascontiguousarray(tensor.detach().numpy())
