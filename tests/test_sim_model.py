"""Building a `Model`: how long it takes, and that a changed copy is what the changed MuJoCo model would be."""

import copy
import pickle
import time
from typing import Any

import mujoco
import numpy as np
import pytest
from crowds import heap, laikagos

from gradgym import sim
from gradgym.sim.model.replacement import CONTACT_SOURCES
from gradgym.sim.model.source import OPTIONS

# a bit of everything that a field of `Model` can be made of
SCENE = """
<mujoco><option timestep="0.004" solver="PGS"><flag override="disable"/></option>
  <worldbody><geom name="floor" type="plane" size="5 5 1"/><site name="hook" pos="0 0 2"/>
    <body name="crate" pos="0 0 1"><freejoint/><geom name="crate" type="box" size="0.1 0.1 0.1" priority="1"/></body>
    <body name="post" pos="0.5 0 1"><joint name="a" range="-1 1" limited="true" damping="0.1" stiffness="2"/>
      <geom name="post" type="capsule" size="0.05 0.2" solmix="2" gap="0.01" margin="0.02"/>
      <body name="tip" pos="0 0 0.4" gravcomp="0.5"><joint name="b" axis="0 1 0" frictionloss="0.1"/>
        <geom name="tip" size="0.08" solref="-1000 -20" condim="4"/><site name="tip"/></body></body>
    <body name="ball" pos="-0.5 0 1"><joint name="c" type="ball"/><geom name="ball" size="0.1" pos="0 0 -0.3"/></body>
  </worldbody>
  <contact><pair geom1="floor" geom2="tip" condim="3"/>
    <pair geom1="ball" geom2="crate" solreffriction="0.01 1" friction="0.5 0.5 0 0 0"/></contact>
  <tendon><fixed name="t" range="-1 1" limited="true" frictionloss="0.05">
    <joint joint="a" coef="1"/><joint joint="b" coef="-2"/></fixed></tendon>
  <equality><joint joint1="a" joint2="b"/><connect body1="ball" body2="tip" anchor="0 0 0.1"/>
    <weld site1="hook" site2="tip" active="false"/></equality>
  <actuator><position joint="a" kp="3" ctrlrange="-1 1"/><motor tendon="t"/><motor joint="c" gear="1 2 3"/>
    <general joint="b" dyntype="filter" dynprm="0.1" group="2"/></actuator>
  <keyframe><key name="home" ctrl="0.1 0 0 2"/>
    <key name="away" qpos="0 0 2 1 0 0 0 0.3 0.2 0 1 0 0" qvel="1 2 3 4 5 6 7 8 9 10 11" act="0.5" ctrl="1 2 3 4"/>
    <key qpos="0 0 3 1 0 0 0 0.3 0.2 0 1 0 0"/></keyframe>
</mujoco>"""


@pytest.fixture(scope="module")
def model() -> sim.Model:
    return sim.Model.from_xml_string(SCENE)


def replaceable(model: sim.Model) -> list[str]:
    names = [*OPTIONS, *sorted({*sim.Model.fields, *CONTACT_SOURCES} - {*OPTIONS})]
    found = []
    for name in names:
        value = value_in(model.mj_model, name)
        try:
            model.replace(**{name: value})
        except TypeError:
            continue
        found.append(name)
    return found


def value_in(m: mujoco.MjModel, name: str) -> Any:
    owner = m.opt if name in OPTIONS else m
    return copy.copy(getattr(owner, name, 0))


def changed_value(name: str, old: Any, rng: np.random.Generator) -> Any:
    """Another value that the field may hold."""
    if name == "disableflags":
        return int(mujoco.mjtDisableBit.mjDSBL_LIMIT) | int(mujoco.mjtDisableBit.mjDSBL_REFSAFE)
    if name in ("integrator", "cone"):
        return 1
    if name == "solver":
        return int(mujoco.mjtSolver.mjSOL_NEWTON)
    if name in ("geom_condim", "pair_dim"):
        return rng.choice([1, 3, 4, 6], old.shape)
    if name in ("geom_contype", "geom_conaffinity", "geom_priority") or name.endswith(("gaintype", "biastype")):
        return rng.integers(0, 2, old.shape)
    if np.ndim(old) == 0:
        return type(old)(1.5 * old + 1)
    if old.dtype == bool:
        return ~old
    # zero here and there: what is counted by being more than zero
    return (old + rng.uniform(0.0, 0.1, old.shape)) * (rng.random(old.shape) < 0.7 if "loss" in name else 1.0)


def write(m: mujoco.MjModel, name: str, value: Any) -> None:
    owner = m.opt if name in OPTIONS else m
    if isinstance(value, np.ndarray):
        getattr(owner, name)[...] = value
    else:
        setattr(owner, name, value)


def assert_same(found: sim.Model, expected: sim.Model, what: str) -> None:
    for name in sim.Model.fields:
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert np.shape(ours) == np.shape(theirs) and np.all(ours == theirs), f"{what}: {name}"
    assert found.contact_softness == expected.contact_softness
    # what kernels see is the table: shapes and scalars in it, addresses apart
    for name, field in sim.Model.fields.items():
        at = sim.Model._numba_type_.slots[name]
        value, words = getattr(found, name), slice(at + 1, at + 1 + len(field.shape))
        np.testing.assert_array_equal(found._table[words], expected._table[words], f"{what}: {name}")
        address = value.ctypes.data if isinstance(value, np.ndarray) else expected._table[at]
        assert found._table[at] == address, f"{what}: {name}"


def test_each_changed_field_makes_what_the_changed_mujoco_model_makes(model: sim.Model) -> None:
    rng = np.random.default_rng(0)
    names = replaceable(model)
    assert len(names) > 90
    for name in names:
        value = changed_value(name, value_in(model.mj_model, name), rng)
        written = copy.copy(model.mj_model)
        write(written, name, value)
        assert_same(model.replace(**{name: value}), sim.Model.from_mujoco(written), name)


def test_one_change_after_another(model: sim.Model) -> None:
    rng = np.random.default_rng(1)
    found, written = model.replace(contact_softness=0.003), copy.copy(model.mj_model)
    for name in rng.permutation(replaceable(model)):
        value = changed_value(name, value_in(written, name), rng)
        write(written, name, value)
        found = found.replace(**{name: value})
        assert_same(found, sim.Model.from_mujoco(written, 0.003), f"{name}, after others")
    assert_same(pickle.loads(pickle.dumps(found)), found, "pickled")
    hard = found.replace(contact_softness=0.0)
    assert_same(hard, sim.Model.from_mujoco(written), "without softness")
    assert_same(sim.Model.from_mujoco(hard.mj_model), hard, "its MuJoCo model")


def test_the_original_stays_as_it_was(model: sim.Model) -> None:
    before = sim.Model.from_mujoco(model.mj_model)
    mass = model.body_mass * 2.0
    heavy = model.replace(body_mass=mass, geom_friction=model.mj_model.geom_friction * 2.0)
    mass[:] = 7.0
    np.testing.assert_array_equal(heavy.body_mass, 2.0 * model.body_mass)
    np.testing.assert_array_equal(heavy.mj_model.body_mass, heavy.body_mass)
    assert_same(model, before, "original")
    assert heavy.con_geom is model.con_geom, "what stays is shared"


def test_it_is_read_only(model: sim.Model) -> None:
    for one in (model, model.replace(timestep=0.001), model.replace(contact_softness=0.01), copy.copy(model)):
        for name in ("timestep", "gravity", "contact_softness", "tiemstep"):
            with pytest.raises(AttributeError) as caught:
                setattr(one, name, 0.5)
            assert str(caught.value) == f"Model is read-only: make a changed one with model.replace({name}=...)"
        for name in sim.Model.fields:
            value = getattr(one, name)
            if isinstance(value, np.ndarray):
                assert not value.flags.writeable, name
                theirs = getattr(one.mj_model, name, None)
                assert not isinstance(theirs, np.ndarray) or theirs.flags.writeable, name
                assert not isinstance(theirs, np.ndarray) or not np.shares_memory(value, theirs), name
        with pytest.raises(ValueError, match="read-only"):
            one.gravity[:] = 0.0
        assert one.gravity[2] == one.mj_model.opt.gravity[2] == -9.81


def test_the_mujoco_model_of_a_changed_copy_finds_the_contacts_of_its_sizes() -> None:
    # MuJoCo looks for contacts in boxes around geoms and bodies, which its compiler makes of sizes
    scene = """<mujoco><worldbody>
      <body><freejoint/><geom type="box" size="0.1 0.1 0.1"/><geom pos="0 0 1" size="0.1"/></body>
      <body pos="0.45 0 0"><freejoint/><geom size="0.1"/><geom pos="0 0 -1" size="0.1"/></body></worldbody></mujoco>"""
    model = sim.Model.from_xml_string(scene)
    larger = model.replace(geom_size=3.0 * model.geom_size, geom_rbound=3.0 * model.geom_rbound)
    data = mujoco.MjData(larger.mj_model)
    mujoco.mj_forward(larger.mj_model, data)
    assert (model.mj_model.nbvh, data.ncon) == (6, 1)


def test_the_mujoco_model_of_a_changed_copy_finds_the_contacts_of_its_margins(model: sim.Model) -> None:
    # MuJoCo's broad phase has the margins and masks of bodies, made of those of their geoms by its compiler
    apart = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><body><freejoint/><geom size="0.1" contype="0"/></body>'
        '<body pos="0.3 0 0"><freejoint/><geom size="0.1" contype="0"/></body></worldbody></mujoco>'
    )
    made = sim.Model.from_mujoco(apart).replace(geom_margin=np.full(2, 0.2), geom_contype=np.ones(2))
    data = mujoco.MjData(made.mj_model)
    mujoco.mj_forward(made.mj_model, data)
    assert (made.npair, data.ncon) == (1, 1)


@pytest.mark.parametrize(("key", "number"), [("home", 0), ("away", 1), (1, 1), (np.int32(2), 2)])
def test_keyframes_are_mujocos(model: sim.Model, key: str | int, number: int) -> None:
    theirs = mujoco.MjData(model.mj_model)
    mujoco.mj_resetDataKeyframe(model.mj_model, theirs, number)
    state, ctrl = model.initial_state(key), model.key_ctrl(key)
    for name, value in state._asdict().items():
        np.testing.assert_array_equal(value, getattr(theirs, name))
    np.testing.assert_array_equal(ctrl, theirs.ctrl)
    state.qpos[:], ctrl[:] = 7.0, 7.0
    assert not np.any(model.initial_state(key).qpos == 7.0) and not np.any(model.key_ctrl(key) == 7.0), "a copy"


@pytest.mark.parametrize("key", ["hom", 3, -1])
def test_unknown_keyframes_are_refused(model: sim.Model, key: str | int) -> None:
    for call in (model.initial_state, model.key_ctrl):
        with pytest.raises(ValueError, match=f"^no keyframe {key!r}: the model has home, away, 2$"):
            call(key)
    with pytest.raises(ValueError, match=r"^no keyframe 0: the model has none$"):
        sim.Model.from_xml_string("<mujoco/>").initial_state(0)


def best_of(times: int, call: Any) -> float:
    spent = []
    for _ in range(times):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return min(spent)


def test_a_large_scene_is_built_in_reasonable_time() -> None:
    # one by one the 33,000 pairs took seconds
    mj_model = laikagos(heap(20, 0.8, 0.5)).compile()
    assert sim.Model.from_mujoco(mj_model).npair > 30_000
    assert best_of(3, lambda: sim.Model.from_mujoco(mj_model)) < 0.7


def test_a_changed_copy_costs_what_changed() -> None:
    built = laikagos(heap(20, 0.8, 0.5)).compile()
    model = sim.Model.from_mujoco(built)
    whole = best_of(3, lambda: sim.Model.from_mujoco(built))
    for name in ("body_pos", "body_mass", "actuator_gainprm", "gravity"):
        value = value_in(built, name)
        assert best_of(10, lambda name=name, value=value: model.replace(**{name: value})) < whole / 20, name
