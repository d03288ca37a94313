"""Eight numbers at once in kernels."""

import numpy as np
from numpy.typing import NDArray

from gradgym.sim.kernels.jit import kernel
from gradgym.sim.kernels.rotation import cross3
from gradgym.sim.kernels.spatial import lanes_axpy
from gradgym.sim.kernels.vector import AT_ONCE, all8, load8, round_up, store8

Floats = NDArray[np.float64]


@kernel
def _mixed(out: Floats, a: Floats, row: int) -> None:
    """Every operation, with numbers on either side, and through the functions for three numbers."""
    x, y, z = load8(a, 0, 3), load8(a, row, 3), all8(a[2, 0])
    turned = cross3((x, y, z), (a[0, 0], a[0, 1], a[0, 2]))
    z += x
    z -= x
    for r in range(3):
        store8(out, r, 5, -turned[r] + 2.0 * x * y - z * a[1, 1])


def test_operations_are_those_of_every_number() -> None:
    rng = np.random.default_rng(0)
    a, out = rng.normal(size=(3, 11)), np.zeros((3, 13))
    _mixed(out, a, 1)
    x, y, z = a[0, 3:], a[1, 3:], np.full(AT_ONCE, a[2, 0])
    crossed = np.cross(np.stack([x, y, z], axis=-1), a[0, :3])
    np.testing.assert_allclose(out[:, 5:], (-crossed + (2.0 * x * y - z * a[1, 1])[:, None]).T, rtol=1e-12)
    assert not out[:, :5].any()  # nothing beside the eight is touched


def test_lanes_are_one_or_multiples_of_eight() -> None:
    rng = np.random.default_rng(1)
    for lanes in (1, round_up(3), round_up(9)):
        out, x = rng.normal(size=(2, lanes)), rng.normal(size=(3, lanes))
        expected = out.copy()
        expected[1] += 0.7 * x[2]
        lanes_axpy(out, 1, 0.7, x, 2)
        np.testing.assert_allclose(out, expected, rtol=1e-15)
    assert [round_up(n) for n in (0, 1, 8, 9)] == [0, 8, 8, 16]
