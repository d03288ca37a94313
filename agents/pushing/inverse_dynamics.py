"""Inverse dynamics as a differentiable quadratic program: mechanical parameters to fingers' positions and forces.

Equation 6 of Aceituno et al., "A Differentiable Recipe for Learning Visual Non-Prehensile Planar Manipulation".
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .mechanics import DT, GRAVITY
from .parameters import MechanicalParameters
from .quadratic_program import Bounds, minimize

LENGTH = 0.1
"""A slack in the moment of this times 1 N m costs as one of 1 N in the force [m]."""
_RIDGE = 1e-4  # share of the forces' weight on each ray's coefficient, so that parallel rays share alike
_CENTER = 1e-7  # weight of a position's distance from the facet's middle, in shares of it: for facets without length


@dataclass(frozen=True)
class Weights:
    """Of the program's cost.

    Attributes:
        force: Q_lambda, of a finger's squared force [1/N^2]. So small that slack stays 0 where forces can be found.
        external: of the environment's squared force [1/N^2]; the paper has none. Makes the solution unique.
        acceleration: Q_p, of a finger's squared acceleration [s^4/m^2]. So small that it moves fingers by 0.02 mm.
        arm: of the squared distance of a finger from where the Jacobian's third row has it [1/m^2].
        slack: q, of the slack [1/N].
    """

    force: float = 1e-4
    external: float = 1e-7
    acceleration: float = 1e-8
    arm: float = 1.0
    slack: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Of B tasks with T knots and N fingers.

    Attributes:
        p: (B, T, N, 2) contact points [m].
        lam: (B, T, N, 2) fingers' forces on the object [N].
        lam_e: (B, T, 2) the environment's force on it [N].
        slack: (B, T, 3) wrench that is missing for the motion [N, N, N m / LENGTH].
    """

    p: Tensor
    lam: Tensor
    lam_e: Tensor
    slack: Tensor


@dataclass(frozen=True)
class InverseDynamics:
    """Solves the program of equation 6 for a batch of tasks, differentiably.

    With J and r given, forces of a knot and positions of a finger are in no constraint together, so the program falls
    apart into B T small ones for forces and B N for positions, which are solved instead. Left open by the paper and
    chosen here: positions are tied to the lever arms that J holds, for nothing else determines them; the moment of
    inertia is one of the parameters; there is no acceleration at both ends, see `mechanics`.

    Attributes:
        gravity: along -y [m/s^2]; 0 if the plane is seen from above.
        limit: sum of the coefficients of a finger's two unit rays, which is not below its force [N].
        limit_e: of a coefficient of the environment's [N], so that a ray near zero has a force near zero.
        weights: see there.
    """

    gravity: float = GRAVITY
    limit: float = 20.0
    limit_e: float = 50.0
    weights: Weights = field(default_factory=Weights)

    def __call__(self, parameters: MechanicalParameters) -> Solution:
        """Solutions in float64, whatever the parameters' type; their derivatives by all the parameters.

        Raises:
            FloatingPointError: a parameter is not finite.
            ImportError: ProxSuite is not installed.
        """
        parameters = parameters.to(torch.float64)
        lam, lam_e, slack = self._forces(parameters)
        return Solution(p=self._positions(parameters), lam=lam, lam_e=lam_e, slack=slack)

    def _forces(self, parameters: MechanicalParameters) -> tuple[Tensor, Tensor, Tensor]:
        batch, knots = parameters.r.shape[:2]
        n, w = parameters.num_fingers, self.weights
        rays, rays_e = parameters.cones.mT, parameters.cones_e.mT  # (..., 2, 2), a ray a column
        arm_e = parameters.p_e - parameters.r[..., :2]
        fingers = parameters.jacobian.unflatten(-1, (n, 2)).transpose(-3, -2) @ rays  # (B, T, N, 3, 2)
        moment_e = arm_e[..., :1] * rays_e[..., 1, :] - arm_e[..., 1:] * rays_e[..., 0, :]
        external = torch.cat([rays_e, moment_e[..., None, :]], dim=-2)
        units = rays.new_tensor([1.0, 1.0, 1.0 / LENGTH])
        wrenches = units[:, None] * torch.cat([fingers.transpose(-3, -2).flatten(-2), external], dim=-1)
        eye = torch.eye(3, dtype=rays.dtype).expand(batch, knots, 3, 3)
        equality = torch.cat([wrenches, eye, -eye], dim=-1)
        inertia = torch.stack([torch.ones_like(parameters.inertia)] * 2 + [parameters.inertia], dim=-1)
        weight = rays.new_tensor([0.0, self.gravity, 0.0])
        target = units * (inertia * accelerations(parameters.r) + weight)
        # The cost is divided by 2 Q_lambda: forces and multipliers get alike units.
        hessian = rays.new_zeros(batch, knots, 2 * n + 8, 2 * n + 8)
        for c in range(n):
            own = rays[..., c, :, :]
            hessian[..., 2 * c : 2 * c + 2, 2 * c : 2 * c + 2] = own.mT @ own + _RIDGE * eye[..., :2, :2]
        at = slice(2 * n, 2 * n + 2)
        hessian[..., at, at] = (rays_e.mT @ rays_e + _RIDGE * eye[..., :2, :2]) * (w.external / w.force)
        linear = rays.new_zeros(batch, knots, 2 * n + 8)
        linear[..., 2 * n + 2 :] = w.slack / (2.0 * w.force)
        hessian, linear, equality, target = (x.flatten(0, 1) for x in (hessian, linear, equality, target))
        x = minimize(hessian, linear, equality, target, self._force_bounds(n)).unflatten(0, (batch, knots))
        own, own_e, more, less = x.split([2 * n, 2, 3, 3], dim=-1)
        lam = (rays @ own.unflatten(-1, (n, 2, 1))).squeeze(-1)
        return lam, (rays_e @ own_e[..., None]).squeeze(-1), more - less

    def _force_bounds(self, n: int) -> Bounds:
        sums = np.repeat(np.eye(n, n + 4), 2, axis=1)
        lower, upper = np.zeros(3 * n + 8), np.full(3 * n + 8, math.inf)
        lower[2 * n + 8 :], upper[2 * n + 8 :] = -math.inf, self.limit
        upper[2 * n : 2 * n + 2] = self.limit_e
        return Bounds(matrix=np.concatenate([np.eye(2 * n + 8), sums]), lower=lower, upper=upper)

    def _positions(self, parameters: MechanicalParameters) -> Tensor:
        batch, knots, n = parameters.facets.shape[:3]
        w = self.weights
        first, second = (x.transpose(1, 2).flatten(0, 1) for x in parameters.facets.unbind(-2))  # (B N, T, 2)
        along = second - first
        wanted = (parameters.r[..., None, :2] + parameters.arms).transpose(1, 2).flatten(0, 1)
        differences = second_differences(knots) / DT**2
        # Of the cost sum_k p_k' M p_k - 2 w_J p_k' wanted_k, k = x, y, in p_k = first_k + along_k s.
        cost = w.arm * torch.eye(knots, dtype=torch.float64) + w.acceleration * differences.T @ differences
        hessian = (along[:, :, None] * cost[..., None] * along[:, None]).sum(-1)
        linear = (along * (cost @ first - w.arm * wanted)).sum(-1)
        # In units of LENGTH² the terms are about 1.
        hessian = hessian / LENGTH**2 + _CENTER / LENGTH**2 * torch.eye(knots, dtype=torch.float64)
        linear = linear / LENGTH**2 - 0.5 * _CENTER / LENGTH**2
        bounds = Bounds(matrix=np.eye(knots), lower=np.zeros(knots), upper=np.ones(knots))
        none = hessian.new_zeros(len(hessian), 0, knots)
        share = minimize(hessian, linear, none, none[..., 0], bounds)
        return (first + share[..., None] * along).unflatten(0, (batch, n)).transpose(1, 2)


def accelerations(r: Tensor) -> Tensor:
    """Second differences of poses (B, T, 3) by time, as `mechanics.accelerations`: none at both ends."""
    inner = second_differences(r.shape[-2]).to(r.dtype) @ r / DT**2
    return torch.nn.functional.pad(inner, (0, 0, 1, 1))


def second_differences(knots: int) -> Tensor:
    """(T - 2, T), rows 1, -2, 1."""
    eye = torch.eye(knots, dtype=torch.float64)
    return eye[:-2] - 2.0 * eye[1:-1] + eye[2:]
