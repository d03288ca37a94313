"""What the simulator loads, and its declared shapes."""

import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest
from parity import HAND_ASSETS, load
from random_models import SMOOTH_MECHANISM

from gradgym import sim
from gradgym.sim.kernels.vector import round_up
from gradgym.sim.model.data import Data, Lanes

ROOT = Path(sim.__file__).parent.parent
UNLIKE = ("actuator_trnid", "geom_surfacevel")  # fields of our own form: the second is empty where no surface moves


def test_simulating_loads_neither_torch_nor_gymnasium() -> None:
    # The package's own __init__ registers environments, so the simulator is loaded below a bare package.
    program = f"""
import sys, types
package = types.ModuleType("gradgym"); package.__path__ = [{str(ROOT)!r}]; sys.modules["gradgym"] = package
from gradgym import sim
model = sim.Model.from_xml_string("<mujoco><worldbody><body><joint/><geom size='1'/></body></worldbody></mujoco>")
sim.step(model, model.initial_state(), [])
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & {{"torch", "gymnasium", "stable_baselines3"}}))
print(*sorted(name for name in sys.modules if name.startswith(("gradgym.envs", "gradgym.agents"))))
sim.torch_bridge
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["", "", "True"]


def declared(struct: type, sizes: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the array fields, symbols replaced by their values."""
    shapes = {}
    for name, field in struct.fields.items():
        if field.dtype not in (int, float):
            shapes[name] = tuple(sizes[s] if isinstance(s, str) else s for s in field.shape)
    return shapes


@pytest.mark.parametrize("source", [SMOOTH_MECHANISM, HAND_ASSETS / "manipulate_block.xml"])
def test_declared_shapes_are_allocated_and_mujocos(source: str | Path) -> None:
    model = load(source)
    theirs = mujoco.MjData(model.mj_model)
    mujoco.mj_forward(model.mj_model, theirs)
    data, lanes = Data.for_model(model), Lanes.for_model(model, nlane=8)
    compared = 0
    for name, shape in declared(Data, model.sizes).items():
        assert getattr(data, name).shape == shape
        # theirs are packed, as long as there are active rows, and one for each island
        own_form = name in ("qM", "qLD", "qLU", "qH", "solver_niter")
        own_form |= name.startswith(("efc_", "island_", "map_", "tree_", "iacc", "ifrc"))
        if not own_form and isinstance(getattr(theirs, name, None), np.ndarray):
            assert getattr(theirs, name).shape == shape, name
            compared += 1
    assert compared > 25
    sizes = {"nlane": 8, "nefclane": model.nefcbefore + 10, "ncolumn": round_up(model.nefcdof)}
    for name, shape in declared(Lanes, {**model.sizes, **sizes}).items():
        assert getattr(lanes, name).shape == shape
    for name, shape in declared(sim.Model, model.sizes).items():
        assert getattr(model, name).shape == shape
        if isinstance(getattr(model.mj_model, name, None), np.ndarray) and name not in UNLIKE:
            assert getattr(model.mj_model, name).shape == shape, name


def test_what_kernels_are_compiled_for_cannot_differ() -> None:
    model = load(SMOOTH_MECHANISM)
    with pytest.raises(ValueError, match=r"Model.gravity: shape \(4,\), declared \(3,\)"):
        model.with_fields({"gravity": np.zeros(4)})
    with pytest.raises(ValueError, match=r"Lanes: 5 lanes, need 1 or a multiple of 8"):
        Lanes.for_model(model, nlane=5)


def test_adjoint_fields_have_the_shape_of_what_they_belong_to() -> None:
    model = load(SMOOTH_MECHANISM)
    lanes = Lanes.for_model(model, nlane=1, with_params=True)
    # those are collected per pair, or in one field
    own = [name for name in sim.PARAMETERS if not name.startswith(("geom_", "pair_", "density", "viscosity"))]
    for name in own:
        assert getattr(lanes, name + "_adj").shape == getattr(model, name).shape


def test_reported_shapes_are_the_declared_ones() -> None:
    model = load(SMOOTH_MECHANISM)
    shapes = declared(Data, model.sizes)
    forward = sim.forward(model, model.initial_state(), np.zeros(model.nu))
    for name, value in forward._asdict().items():
        if name != "contact":
            assert value.shape == (() if name.startswith(("solver_", "converged")) else shapes[name]), name
