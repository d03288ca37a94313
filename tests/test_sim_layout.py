"""Layouts of worlds that are interleaved: places, and kernels that compute in them what they do elsewhere."""

import numpy as np
import pytest
from gpu_scenes import SCENES
from interleaved import Tiles
from numpy.testing import assert_array_equal

from gradgym import sim
from gradgym.envs.tasks.pendulum import NLinkPendulum
from gradgym.sim.kernels.layout import WARP, Layout
from gradgym.sim.kernels.record import Floats, Ints, Struct, floats, integer, ints, real
from gradgym.sim.model.data import Data, Lanes
from gradgym.sim.model.model import Model, tangent_size


class _Record(Struct):
    """One field of each kind."""

    count: int = integer()
    weight: float = real()
    numbers: Ints = ints("n")
    places: Floats = floats("n", 3)


class _Partial(Struct):
    """A field that may have no entries beside one that has."""

    places: Floats = floats("n", 3)
    weights: Floats = floats(2)


def test_scalars_of_a_block_are_words_and_arrays_follow() -> None:
    layout = Layout(_Record, {"n": 3}, 1, {})
    block = layout.block(_Record(count=7, weight=0.5, numbers=[1, 2, 3], places=np.arange(9.0).reshape(3, 3)))
    assert len(block) == layout.nbytes and layout.nbytes % 8 == 0
    read = {
        name: block[place.offset : place.offset + size].view(dtype)
        for (name, place), size, dtype in zip(
            sorted(layout.places.items()), (8, 12, 72, 8), (np.int64, np.int32, np.float64, np.float64), strict=True
        )
    }
    assert read["count"] == 7 and read["weight"] == 0.5
    assert_array_equal(read["numbers"], [1, 2, 3])
    assert_array_equal(read["places"], np.arange(9.0))


def test_a_view_of_tiles_is_that_of_worlds() -> None:
    layout = Layout(_Record, {"n": 2}, WARP, {"count": 1, "weight": 2})
    words = np.arange(layout.blocks(40) // 8, dtype=np.float64)
    seen = layout.view(words, "places")
    assert seen.shape == (64, 2, 3)
    start = layout.places["places"].offset // 8 * WARP
    assert seen[33, 1, 2] == layout.nbytes // 8 * WARP + start + (1 * 3 + 2) * WARP + 1


def test_a_view_of_a_field_without_entries_has_all_worlds() -> None:
    layout = Layout(_Partial, {"n": 0}, WARP, {})
    assert layout.view(np.zeros(layout.blocks(33) // 8), "places").shape == (64, 0, 3)


def test_scalars_of_interleaved_worlds_must_be_constants() -> None:
    with pytest.raises(ValueError, match=r"_Record\.count: a scalar of interleaved worlds must be a constant"):
        Layout(_Record, {"n": 2}, WARP, {"weight": 2})


def test_layouts_that_differ_are_different_types() -> None:
    one, same, other, wide = (
        Layout(_Record, {"n": n}, worlds, {"count": 1, "weight": 2}).numba_type
        for n, worlds in ((2, 1), (2, 1), (3, 1), (2, WARP))
    )
    constant = Layout(_Record, {"n": 2}, 1, {"count": 2, "weight": 2}).numba_type
    assert one == same and len({one, other, wide, constant}) == 4


def test_fields_of_a_workspace_do_not_overlap() -> None:
    model = NLinkPendulum(n_links=2).model
    sizes, scalars = Lanes.extents(model, 1)
    for layout in Layout(Data, model.sizes, WARP, {}), Layout(Lanes, sizes, WARP, scalars), Layout(Model, sizes, 1, {}):
        end = 0
        for place in sorted(layout.places.values(), key=lambda p: p.offset):
            assert place.offset >= end
            size = 8 if place.field.dtype in (int, float) else np.dtype(place.field.dtype).itemsize
            end = place.offset + int(np.prod(place.shape)) * size
        assert end <= layout.nbytes


@pytest.mark.parametrize("name", ["pendulum", *(pytest.param(x, marks=pytest.mark.slow) for x in ("Ant", "Laikago"))])
def test_interleaved_worlds_move_as_others_do(name: str) -> None:
    scene, rng = SCENES[name](), np.random.default_rng(0)
    model, state = scene.model, scene.starts(35, rng)  # a tile, and a part of the next
    ctrls = scene.ctrls(35, 3, rng)
    expected = sim.rollout(model, state, ctrls, n_steps=2)
    for found, path in zip(Tiles(model, 35).rollout(state, ctrls, 2), expected[:3], strict=True):
        assert_array_equal(found, path)
    cotangents = rng.standard_normal((35, 4, tangent_size(model)))
    gradient = sim.rollout_vjp(model, expected, cotangents)
    by_state, by_ctrl = Tiles(model, 35).pull_back(expected, cotangents)
    assert_array_equal(by_state, gradient.state0)
    assert_array_equal(by_ctrl, gradient.ctrls)
