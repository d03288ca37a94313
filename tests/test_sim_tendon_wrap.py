"""Paths past a sphere or a cylinder against MuJoCo's lengths, closed forms and differences."""

import math
from collections import Counter

import mujoco
import numpy as np
import pytest
from derivatives import Map, assert_derivative, differentiate
from numpy.typing import NDArray

from gradgym.sim.dynamics.tendon_wrap import (
    AROUND,
    STRAIGHT,
    THE_OTHER_WAY,
    THROUGH,
    plane_frame,
    wrap_gradient,
    wrap_hessian,
    wrap_kind,
)
from gradgym.sim.kernels.rotation import Vec3

Floats = NDArray[np.float64]
RADIUS = 0.3


def vec(x: Floats) -> Vec3:
    return float(x[0]), float(x[1]), float(x[2])


def path(axis: Floats, ends: Floats, side: Floats | None) -> tuple[int, float, Floats]:
    """How the path from ends[:3] to ends[3:] goes, its length and the gradient."""
    points = vec(axis), vec(ends[:3]), vec(ends[3:])
    kind = wrap_kind(*points, RADIUS, side is not None, vec(np.zeros(3) if side is None else side))
    if kind == STRAIGHT:
        step = ends[3:] - ends[:3]
        length = float(np.linalg.norm(step))
        return kind, length, np.concatenate([-step, step]) / length
    length, one, two = wrap_gradient(plane_frame(*points), kind, vec(axis), float(axis @ (ends[3:] - ends[:3])), RADIUS)
    return kind, length, np.array([*one, *two])


def hessian(axis: Floats, ends: Floats, kind: int) -> Floats:
    h = np.full((6, 6), np.nan)
    frame = plane_frame(vec(axis), vec(ends[:3]), vec(ends[3:]))
    wrap_hessian(h, frame, kind, vec(axis), float(axis @ (ends[3:] - ends[:3])), RADIUS)
    return h


def scene(geom: str, sided: bool) -> mujoco.MjModel:
    bodies = "".join(f'<body mocap="true"><site name="{name}"/></body>' for name in "abs")
    side = 'sidesite="s"' if sided else ""
    return mujoco.MjModel.from_xml_string(f"""<mujoco><worldbody>{bodies}
      <body mocap="true"><geom name="g" type="{geom}" size="{RADIUS} 0.2"/></body></worldbody><tendon><spatial>
      <site site="a"/><geom geom="g" {side}/><site site="b"/></spatial></tendon></mujoco>""")


@pytest.mark.parametrize("geom", ["sphere", "cylinder"])
def test_lengths_equal_mujoco(geom: str) -> None:
    kinds, rng = Counter[int](), np.random.default_rng(0)
    for sided in (False, True):
        m = scene(geom, sided)
        d = mujoco.MjData(m)
        for i in range(1500):
            ends, side, centre = rng.normal(scale=0.5, size=6), rng.normal(size=3), rng.normal(size=3)
            side *= RADIUS if i % 2 else 0.3 * RADIUS
            quat = rng.normal(size=4)
            d.mocap_pos[:] = np.stack([ends[:3], ends[3:], side, np.zeros(3)]) + centre
            d.mocap_quat[3] = quat / np.linalg.norm(quat)
            mujoco.mj_fwdPosition(m, d)
            axis = d.geom_xmat[0].reshape(3, 3)[:, 2] * (geom == "cylinder")
            kind, length, _ = path(axis, ends, side if sided else None)
            kinds[kind] += 1
            assert abs(length - d.ten_length[0]) < 1e-12 * max(length, 1.0), (kind, length, d.ten_length[0])
    assert min(kinds[kind] for kind in (STRAIGHT, AROUND, THE_OTHER_WAY, THROUGH)) > 50


def _of_ends(part: int, axis: Floats, side: Floats | None) -> Map:
    """Length (1) or gradient (2) as a function of the ends."""
    return Map(lambda x: np.atleast_1d(path(axis, x, side)[part]), lambda x, t: x + t, lambda a, b: b - a)


def test_derivatives_equal_differences() -> None:
    """And turning both ends about the centre, or about a cylinder's axis, changes no length."""
    seen, rng = Counter[int](), np.random.default_rng(1)
    for i in range(400):
        axis = rng.normal(size=3)
        axis *= (i % 2) / np.linalg.norm(axis)
        ends, side = rng.normal(scale=0.5, size=6), rng.normal(size=3) * (RADIUS if i % 4 < 2 else 0.3 * RADIUS)
        place = side if i % 3 else None
        kind, _, gradient = path(axis, ends, place)
        direction = rng.normal(size=6)
        near = (-6e-4, 6e-4)
        if kind == STRAIGHT or any(path(axis, ends + h * direction, place)[0] != kind for h in near):
            continue
        frame = plane_frame(vec(axis), vec(ends[:3]), vec(ends[3:]))
        if min(frame[5], frame[6]) < 1.02 * RADIUS or frame[8] < 0.05:
            continue  # the length's third derivative is large there
        seen[kind] += 1
        found = hessian(axis, ends, kind)
        np.testing.assert_allclose(found, found.T, rtol=0, atol=1e-12 * np.abs(found).max())
        for part, exact in ((1, np.array([gradient @ direction])), (2, found @ direction)):
            difference = differentiate(_of_ends(part, axis, place), ends, direction, 1e-4)
            assert_derivative(exact, difference, 1e-6 if part == 1 else 1e-5)
        spin = rng.normal(size=3) if i % 2 == 0 else axis
        turned = np.concatenate([np.cross(spin, ends[:3]), np.cross(spin, ends[3:])])
        assert abs(gradient @ turned) < 1e-10
    assert min(seen[kind] for kind in (AROUND, THE_OTHER_WAY, THROUGH)) >= 20, seen


def test_closed_forms() -> None:
    z, far = np.zeros(3), 0.5
    ends = np.array([far, 0.0, 0.0, -far, 1e-9, 0.0])
    legs = 2.0 * math.sqrt(far**2 - RADIUS**2)
    arc = RADIUS * (math.pi - 2.0 * math.acos(RADIUS / far))
    assert path(z, ends, None)[:2] == (AROUND, pytest.approx(legs + arc))
    # the long way round is longer by what the two arcs differ
    ends = np.array([far, 0.0, 0.0, 0.0, far, 0.0])
    arc = RADIUS * (1.5 * math.pi - 2.0 * math.acos(RADIUS / far))
    assert path(z, ends, np.array([-1.0, -1.0, 0.0]))[:2] == (THE_OTHER_WAY, pytest.approx(legs + arc))
    # through the middle of the near side, where a mirror would be
    touch = RADIUS * np.array([math.sqrt(0.5), math.sqrt(0.5), 0.0])
    length = np.linalg.norm(ends[:3] - touch) + np.linalg.norm(ends[3:] - touch)
    assert path(z, ends, 0.1 * touch)[:2] == (THROUGH, pytest.approx(length))
    # along a cylinder's axis the path is a hypotenuse
    axis = np.array([0.0, 0.0, 1.0])
    ends = np.array([far, 0.0, 0.0, -far, 1e-9, 0.7])
    flat = legs + RADIUS * (math.pi - 2.0 * math.acos(RADIUS / far))
    assert path(axis, ends, None)[1] == pytest.approx(math.hypot(flat, 0.7))


def test_opposite_ends_have_bounded_derivatives() -> None:
    """There all planes do, and the length has a kink across each."""
    ends = np.array([0.5, 0.0, 0.0, -0.7, 0.0, 0.0])
    kind, _, gradient = path(np.zeros(3), ends, None)
    assert kind == AROUND
    assert np.isfinite(gradient).all()
    assert np.abs(hessian(np.zeros(3), ends, kind)).max() < 100.0


def test_the_path_comes_off_smoothly() -> None:
    """Where it begins to touch, length and gradient have no step."""
    for axis in (np.zeros(3), np.array([0.0, 0.0, 1.0])):
        heights = RADIUS + np.array([-1e-7, 1e-7])
        both = [path(axis, np.array([-0.6, h, 0.0, 0.7, h, 0.3 * axis[2]]), None) for h in heights]
        assert [kind for kind, _, _ in both] == [AROUND, STRAIGHT]
        assert both[0][1] == pytest.approx(both[1][1], abs=1e-9)
        np.testing.assert_allclose(both[0][2], both[1][2], atol=1e-5)


def test_the_point_inside_is_found_to_rounding() -> None:
    """Near the circle and far from it: turning both ends about the centre changes no length to first order."""
    rng, found = np.random.default_rng(2), 0
    for _ in range(2000):
        ends = rng.normal(size=(2, 3))
        ends *= (RADIUS * (1.0 + 10.0 ** rng.uniform(-3, 2, size=2)) / np.linalg.norm(ends, axis=1))[:, None]
        kind, _, gradient = path(np.zeros(3), ends.ravel(), np.array([0.01, 0.0, 0.0]))
        if kind == THROUGH:
            found += 1
            turned = np.cross(ends[0], gradient[:3]) + np.cross(ends[1], gradient[3:])
            assert np.abs(turned).max() < 1e-11 * RADIUS
    assert found > 200


def test_side_sites_say_which_way_round_where_both_are_equal() -> None:
    """Ends opposite to each other across a cylinder."""
    axis, ends = np.array([0.0, 0.0, 1.0]), np.array([0.5, 0.0, 0.0, -0.7, 0.0, 0.1])
    one, other = (path(axis, ends, np.array([0.0, y, 0.0])) for y in (RADIUS, -RADIUS))
    assert (one[0], other[0]) == (AROUND, THE_OTHER_WAY)
    assert one[1] == pytest.approx(other[1], abs=1e-14)
    np.testing.assert_allclose(one[2][[0, 3]], other[2][[0, 3]])
    np.testing.assert_allclose(one[2][[1, 4]], -other[2][[1, 4]])
