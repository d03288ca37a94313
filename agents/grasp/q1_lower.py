"""A lower bound of Q1 as the value of a semidefinite program, with its gradient from the same solve.

Equation 4 of Liu et al. certifies, after Dai, Majumdar and Tedrake ("Synthesis and Optimization of Force Closure
Grasps via Sequential Semidefinite Programming"), that b >= Q1 wherever h_i(u) <= b for all contacts i and |u| = 1
(`wrenches.py` has h, c, B and u). Multipliers of degree 0 give Q1 <= 0 only, those of degree 2 a program with a
matrix of 8 x 8 for each edge of each cone. Here the same is certified in homogeneous form: with force closure b >= 0,
so that b² >= Q1² |u|² says the same and is quadratic, and products of two constraints are quadratic too. As
X_i(b, u) = [[s + β, γ], [γ, s - β]], s = b - c_i·u, (β, γ) = B_i u, is positive semidefinite where h_i(u) <= b,

    b² - q |u|² - Σ_{i<j} tr(Λ_ij X_i ⊗ X_j) - Σ_i λ_i det X_i  is a sum of squares, Λ_ij ⪰ 0, λ_i >= 0

proves Q1 >= √q. The greatest q is sought in the dual, over the moments Y = E (b, u)(b, u)ᵀ of degree 2:

    min Y_bb  with  Y ⪰ 0,  tr Y_uu = 1,  E X_i ⊗ X_j ⪰ 0,  E det X_i >= 0:

28 unknowns whatever the number of contacts; the friction cones are round, not linearised. The derivative by the data
is, by the envelope theorem, that of the constraints weighted with Λ and λ.

Without force closure q is 0. The value is then that of equation 4 with multipliers of degree 0, minus the distance of
the origin from the hull of all discs, a signed margin.
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .wrenches import friction_discs

Array = NDArray[Any]

_NEGLIGIBLE = 1e-3  # of the greatest weight
_OUTSIDE = 1e-7  # of the greatest wrench: at this distance the origin is taken to be out of the hull
_FLAT = 1e-5  # of the greatest wrench: a value of the program below this is 0, as nothing but rounding
_UNIT = 0.05  # of the greatest wrench, for b in the program: numbers near 1 give the solver two more digits

# Symmetric matrices as vectors, upper triangles by columns, those off the diagonal times √2: Clarabel's order.
_COLUMN, _ROW = np.tril_indices(7)
_HALF = np.where(_ROW == _COLUMN, 0.5, 0.5**0.5)
_TRACE = np.where((_ROW == _COLUMN) & (_ROW > 0), 1.0, 0.0)
_COLUMN_4, _ROW_4 = np.tril_indices(4)
_PAULI = np.array([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]], [[0.0, 1.0], [1.0, 0.0]]])
_PRODUCTS = np.einsum("aij,bkl->abikjl", _PAULI, _PAULI).reshape(3, 3, 4, 4)[..., _ROW_4, _COLUMN_4]
_KRONECKER = _PRODUCTS * np.where(_ROW_4 == _COLUMN_4, 1.0, 2.0**0.5)  # (3, 3, 10): σ_a ⊗ σ_b
_LORENTZ = np.array([1.0, -1.0, -1.0])


def q1_lower(
    points: Tensor,
    normals: Tensor,
    weights: Tensor,
    friction: float,
    torque_weight: float,
    share: float = 0.02,
    tolerance: float = 1e-11,
) -> Tensor:
    """Lower bound of Q1 by a semidefinite program a grasp (equation 4), differentiable, signed.

    The program is often tight, and its own gradient would be zero on contacts that are not at the wrench hardest to
    resist. Therefore each disc is first shrunk to (1 - share) of itself about the weighted mean c̄ of the contacts'
    centres: every contact, not the best alone, takes a share of the load, all are in the gradient, and the hull only
    loses. Contacts whose weight is below 1e-3 of the greatest are left out.

    Args:
        points: (..., N, 3) from the centre of mass [m].
        normals: (..., N, 3), unit, into the object.
        weights: (..., N), greatest force along the normal, the greatest of them positive.
        friction: µ.
        torque_weight: m of M = diag(1, 1, 1, m, m, m) [1/m²].
        share: of the load that all take, in [0, 1).
        tolerance: of the solver, gap and residuals; it stops above where rounding allows no more.

    Returns:
        (...). Without force closure minus the distance of the origin from the shrunk wrenches; 0 and no gradient
        where the origin is on their boundary.

    Raises:
        ValueError: as `friction_discs`, or share is out of its range.
        ImportError: Clarabel is not installed.
        RuntimeError: the solver failed.
    """
    if not 0.0 <= share < 1.0:
        raise ValueError(f"share={share}: must be at least 0 and below 1")
    centers, axes = friction_discs(points, normals, weights, friction, torque_weight)
    active = weights > _NEGLIGIBLE * weights.amax(-1, keepdim=True)
    parts = torch.where(active, weights, 0.0)
    mean = (parts[..., None] * centers).sum(-2, keepdim=True) / parts.sum(-1)[..., None, None]
    discs = torch.cat((((1.0 - share) * centers + share * mean)[..., None, :], (1.0 - share) * axes), -2)
    return cast(Tensor, _Margin.apply(discs, active, tolerance))


class _Margin(Function):
    """Signed margins (...) of discs (..., N, 3, 6), centre before axes, those that are `active` (..., N)."""

    @staticmethod
    def forward(ctx: Any, discs: Tensor, active: Tensor, tolerance: float) -> Tensor:
        flat = discs.detach().double().cpu().numpy().reshape(-1, *discs.shape[-3:])
        masks = active.cpu().numpy().reshape(-1, active.shape[-1])
        values, gradients = np.zeros(len(flat)), np.zeros_like(flat)
        for k, mask in enumerate(masks):
            values[k], gradients[k, mask] = _margin(flat[k, mask], tolerance)
        ctx.save_for_backward(torch.from_numpy(gradients).to(discs).reshape(discs.shape))
        return torch.from_numpy(values).to(discs).reshape(discs.shape[:-3])

    @staticmethod
    @once_differentiable  # whose type hides the argument's name
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Any
    ) -> tuple[Tensor, None, None]:
        (gradients,) = ctx.saved_tensors
        return grads[0][..., None, None, None] * gradients, None, None


def _margin(discs: Array, tolerance: float) -> tuple[float, Array]:
    """Signed margin of discs (N, 3, 6), and its derivative by them."""
    scale = float(np.linalg.norm(discs[:, 0], axis=1).max(initial=0.0))
    if not 0.0 < scale < np.inf:
        raise ValueError(f"greatest wrench {scale}: points, normals and weights must be finite, one weight positive")
    # rows that give s, β and γ of (b, u)
    g = np.zeros((len(discs), 3, 7))
    g[:, 0, 0] = 1.0
    g[:, :, 1:] = discs / scale
    g[:, 0, 1:] *= -1.0
    value, gradient = _distance(g, tolerance)
    if value > -_OUTSIDE:
        g[:, 0, 0] = _UNIT
        q, gradient = _square(g, tolerance)
        value = _UNIT * max(q, 0.0) ** 0.5
        if value < _FLAT:
            return 0.0, np.zeros_like(discs)
        gradient *= 0.5 * _UNIT**2 / value
    gradient[:, 0] *= -1.0
    return value * scale, gradient[:, :, 1:]


def _distance(g: Array, tolerance: float) -> tuple[float, Array]:
    """min b with h_i(u) <= b, |u| <= 1, and its derivative by g (N, 3, 7)."""
    clarabel = _clarabel()
    n = len(g)
    rows = np.concatenate((-g.reshape(-1, 7), np.zeros((1, 7)), -np.eye(7)[1:]))
    bounds = np.zeros(len(rows))
    bounds[3 * n] = 1.0
    cones = [clarabel.SecondOrderConeT(3)] * n + [clarabel.SecondOrderConeT(7)]
    x, z = _solve(np.eye(7)[0], rows, bounds, cones, tolerance)
    return -float(bounds @ z), -z[: 3 * n].reshape(n, 3, 1) * x


def _square(g: Array, tolerance: float) -> tuple[float, Array]:
    """The least Y_bb, and its derivative by g (N, 3, 7)."""
    clarabel = _clarabel()
    n = len(g)
    i, j = np.triu_indices(n, 1)
    determinants = np.einsum("a,naq->nq", _LORENTZ, _bilinear(g, g))
    products = np.einsum("pabq,abk->pkq", _bilinear(g[i, :, None], g[j, None]), _KRONECKER)
    rows = np.concatenate((_TRACE[None], -determinants, -np.eye(28), -products.reshape(-1, 28)))
    bounds = np.zeros(len(rows))
    bounds[0] = 1.0
    cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(n), clarabel.PSDTriangleConeT(7)]
    cones += [clarabel.PSDTriangleConeT(4)] * len(i)
    y, z = _solve(np.eye(28)[0], rows, bounds, cones, tolerance)
    moments = np.zeros((7, 7))
    moments[_ROW, _COLUMN] = _HALF * y
    moments += moments.T
    g_moments = g @ moments
    gradient = -2.0 * z[1 : n + 1, None, None] * _LORENTZ[:, None] * g_moments
    multipliers = np.einsum("pk,abk->pab", z[n + 29 :].reshape(-1, 10), _KRONECKER)
    np.subtract.at(gradient, i, multipliers @ g_moments[j])
    np.subtract.at(gradient, j, multipliers.transpose(0, 2, 1) @ g_moments[i])
    return -float(bounds @ z), gradient


def _bilinear(g: Array, h: Array) -> Array:
    """Coefficients (..., 28) of gᵀ Y h in the vector of Y, for g and h (..., 7)."""
    return _HALF * (g[..., _ROW] * h[..., _COLUMN] + g[..., _COLUMN] * h[..., _ROW])


def _solve(
    cost: Array, rows: Array, bounds: Array, cones: Sequence[Any], tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and multipliers z of min cost·x with bounds - rows x in the product of the cones.

    -bounds·z is the dual's value. It is a lower bound whatever the error of x, and has less of it than cost·x.
    """
    from scipy import sparse

    clarabel = _clarabel()
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    # By default each pivot is regularised by 1e-8, which costs the multipliers, hence the gradient, two digits.
    settings.static_regularization_constant = 1e-12
    settings.static_regularization_proportional = 1e-16
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = tolerance
    quadratic = sparse.csc_matrix((len(cost), len(cost)))
    solution = clarabel.DefaultSolver(quadratic, cost, sparse.csc_matrix(rows), bounds, cones, settings).solve()
    if str(solution.status) not in ("Solved", "AlmostSolved", "InsufficientProgress"):
        raise RuntimeError(f"Clarabel ended with {solution.status}, not with a lower bound of Q1")
    return np.array(solution.x), np.array(solution.z)


def _clarabel() -> Any:
    try:
        import clarabel
    except ImportError:
        raise ImportError("the lower bound of Q1 needs clarabel: pip install 'gradgym[grasp]'") from None
    return clarabel
