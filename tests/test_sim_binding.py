"""The parts of a step: what is replaced is replaced everywhere, and no stale kernel is ever loaded."""

import shutil
from pathlib import Path
from typing import Any

import mujoco
import pytest
from kernels import all_kernels
from parity import HAND_ASSETS

from gradgym import sim
from gradgym.envs import ASSETS
from gradgym.sim.constraint.rows import make_constraints
from gradgym.sim.dynamics.kinematics import kinematics
from gradgym.sim.kernels import jit
from gradgym.sim.kernels.binding import LONGEST_NAME, Part, source_of, specialise
from gradgym.sim.kernels.enums import EULER, IMPLICIT, IMPLICITFAST, PGS, RK4
from gradgym.sim.pipeline import parts as model_parts
from gradgym.sim.pipeline.contact_force import CONTACT_FORCE
from gradgym.sim.pipeline.entry_points import entry_points
from gradgym.sim.pipeline.features import FEATURES
from gradgym.sim.pipeline.parts import jacobian_parts_of, parts_of
from gradgym.sim.pipeline.step import euler, forward, solve_constraints, step, step_adj
from gradgym.sim.pipeline.worlds import rollout_worlds

ROWS = source_of(make_constraints).__code__
ENTRIES = ("forward", "rollout", "rollout_adj", "jacobian", "cfrc_ext", "cfrc_ext_adj")
HINGE = "<mujoco><worldbody><body><joint/><geom size='1' contype='0'/></body></worldbody></mujoco>"
TENDON = '<tendon><fixed name="t" {}><joint joint="j" coef="1"/></fixed></tendon>'
# a site's motor, adhesion, an equality of bodies
HELD = """<mujoco><worldbody><geom type="plane" size="1 1 1"/>
  <body name="a" pos="0 0 .1"><freejoint/><geom size=".1"/><site name="s"/></body>
  <body name="b" pos="1 0 .1"><freejoint/><geom size=".1"/></body></worldbody>
  <equality><connect body1="a" body2="b" anchor=".5 0 0"/></equality>
  <actuator><motor site="s" gear="0 0 1 0 0 0"/><adhesion body="b" ctrlrange="0 1"/></actuator></mujoco>"""
TEXTS = {
    "hinge": HINGE,
    "held": HELD,
    "tied": HINGE.replace("<joint/>", '<joint name="j"/>').replace(
        "</mujoco>", TENDON.format("") + '<equality><tendon tendon1="t"/></equality></mujoco>'
    ),
    "armature": HINGE.replace("<joint/>", '<joint name="j"/>').replace(
        "</mujoco>", TENDON.format('armature="1"') + "</mujoco>"
    ),
}


def model(name: str, integrator: int, solver: int) -> sim.Model:
    if name in TEXTS:
        mj_model = mujoco.MjModel.from_xml_string(TEXTS[name])
    else:
        path = {"laikago": ASSETS / "laikago.xml", "hand": HAND_ASSETS / "manipulate_block.xml"}[name]
        mj_model = mujoco.MjModel.from_xml_path(str(path))
    mj_model.opt.integrator, mj_model.opt.solver = integrator, solver
    return sim.Model.from_mujoco(mj_model)


NEWTON = int(mujoco.mjtSolver.mjSOL_NEWTON)
MODELS = [
    *(model("hinge", integrator, NEWTON) for integrator in (EULER, RK4, IMPLICIT, IMPLICITFAST)),
    *(model("laikago", integrator, NEWTON) for integrator in (EULER, RK4, IMPLICITFAST)),
    model("laikago", EULER, PGS),
    model("hand", EULER, NEWTON),
    model("tied", EULER, NEWTON),
    model("armature", EULER, NEWTON),
    model("held", EULER, NEWTON),
]


def sources(function: Any) -> set[Any]:
    """What the kernels were made of that a bound function runs; units are bound too, for what they call."""
    return {source_of(kernel).__code__ for kernel in all_kernels(function)}


def all_parts() -> list[Part]:
    missing = [feature.missing for feature in FEATURES]
    solvers = [model_parts.NEWTON, model_parts.GAUSS_SEIDEL]
    others = [model_parts.CONSTRAINED, model_parts.ADHESION, model_parts.MATRIX, CONTACT_FORCE]
    whole = [model_parts.JACOBIAN, model_parts.RNE_JACOBIAN, model_parts.CONTACT_JACOBIAN, model_parts.LANE_VELOCITIES]
    return [*model_parts.INTEGRATORS.values(), *solvers, *others, *whole, *missing]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: "_".join(part.name for part in parts_of(m)))
def test_nothing_that_a_part_replaces_is_left(model: sim.Model) -> None:
    points = entry_points(model)
    for name in ENTRIES:
        parts = jacobian_parts_of(model) if name == "jacobian" else parts_of(model)
        replaced = {key for part in parts for key, value in part.table.items() if value is not key}
        kept = set(CONTACT_FORCE.table) if name == "cfrc_ext_adj" else set()
        left = all_kernels(getattr(points, name)) & (replaced - kept)
        assert not left, (name, [source_of(kernel).__name__ for kernel in left])


def test_every_kernel_that_a_part_names_is_met_by_some_model() -> None:
    """A key that nothing calls, because its caller was given another function, would replace nothing in silence."""
    met = set[object]()
    for one in MODELS:
        points = entry_points(one)
        for name in ENTRIES:
            met |= all_kernels(getattr(points, name))
    for part in all_parts():
        for key, value in part.table.items():
            instances = {source_of(kernel).__code__ for kernel in met}
            assert source_of(value).__code__ in instances, (part.name, source_of(key).__name__)


def test_names_of_parts_are_unique() -> None:
    names = [part.name for part in all_parts()]
    assert len(set(names)) == len(names)


def test_names_of_many_parts_leave_room_in_the_names_of_files() -> None:
    for one in MODELS:
        names = [
            source_of(kernel).__name__ for entry in ENTRIES for kernel in all_kernels(getattr(entry_points(one), entry))
        ]
        assert max(map(len, names)) <= LONGEST_NAME


def test_an_empty_hook_is_refused() -> None:
    with pytest.raises(RuntimeError, match="no part replaces step"):
        specialise(rollout_worlds, ())
    with pytest.raises(RuntimeError, match="no part replaces solve_constraints"):
        specialise(rollout_worlds, (model_parts.INTEGRATORS[EULER], model_parts.CONSTRAINED))


def test_two_tables_of_one_name_are_refused() -> None:
    wrong = Part("euler", {step: forward, step_adj: model_parts.INTEGRATORS[EULER].table[step_adj]})
    specialise(rollout_worlds, (model_parts.INTEGRATORS[EULER],))
    with pytest.raises(RuntimeError, match="two parts with one name"):
        specialise(rollout_worlds, (wrong,))


def test_what_calls_no_replaced_kernel_is_shared() -> None:
    for one in MODELS:
        assert specialise(kinematics, parts_of(one)) is kinematics
    laikago = [one for one in MODELS if one.nefcmax and one.nv == 18]
    rows = {k for one in laikago for k in all_kernels(entry_points(one).rollout) if source_of(k).__code__ is ROWS}
    assert len(laikago) == 4 and len(rows) == 1  # rows know nothing of integrators and solvers


def test_models_of_the_same_parts_share_their_functions() -> None:
    """A changed copy, of which a search makes thousands, is bound already."""
    for one in MODELS:
        again = one.replace(timestep=0.5 * one.timestep)
        assert entry_points(again) is entry_points(one)
    assert entry_points(MODELS[0]) is not entry_points(MODELS[1])


def test_later_parts_win() -> None:
    first, second = Part("first", {step: forward}), Part("second", {step: euler})
    found = sources(specialise(rollout_worlds, (first, second)))
    assert source_of(euler).__code__ in found and source_of(forward).__code__ not in found
    assert source_of(euler).__code__ in sources(
        specialise(rollout_worlds, (Part("a", {step: solve_constraints}), second))
    )


def test_cache_folder_is_named_after_every_source(tmp_path: Path) -> None:
    """Numba does not notice an edit in a function of another file, so all files of the simulator must count."""
    root = Path(sim.__file__).parent
    assert root == jit.SOURCES
    for entry in ENTRIES:
        for kernel in all_kernels(getattr(entry_points(MODELS[-1]), entry)):
            assert Path(source_of(kernel).__code__.co_filename).is_relative_to(root)
    copied = tmp_path / "sim"
    shutil.copytree(root, copied, ignore=shutil.ignore_patterns("__pycache__"))
    assert jit.source_hash(copied) == jit.source_hash()
    seen = {jit.source_hash()}
    for name in ("kernels/spatial.py", "collision/gjk.py", "pipeline/step.py", "forward.py"):
        with (copied / name).open("a") as file:
            file.write("\n")
        assert jit.source_hash(copied) not in seen
        seen.add(jit.source_hash(copied))
    (copied / "collision/gjk.py").rename(copied / "gjk.py")
    assert jit.source_hash(copied) not in seen


def test_every_decorated_function_is_known_as_a_kernel() -> None:
    """`specialise` and the progress line know kernels by their registration, wherever their files stand."""
    for kernel in all_kernels(rollout_worlds) | all_kernels(entry_points(MODELS[-1]).rollout_adj):
        assert kernel in jit.KERNELS
