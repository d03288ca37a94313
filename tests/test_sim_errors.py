"""Mistakes in arguments, files and models: the exception's type, and that it says what and where."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from random_models import SMOOTH_MECHANISM
from unsupported_models import BOXES, LIMB, UNSUPPORTED, document, unsupported_model, with_actuator

from gradgym import sim
from gradgym.sim.model.unsupported import UnsupportedKind


@pytest.fixture(scope="module")
def model() -> sim.Model:
    return sim.Model.from_xml_string(SMOOTH_MECHANISM)


@pytest.fixture
def state(model: sim.Model) -> sim.State:
    return model.initial_state()


# --- models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("element", UNSUPPORTED)
def test_unsupported_element_is_named(element: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings to a file in the current directory
    with pytest.raises(sim.UnsupportedModelError) as caught:
        sim.Model.from_xml_string(unsupported_model(element))
    assert len(caught.value.elements) == 1, caught.value.elements
    assert element in str(caught.value)


def test_all_unsupported_elements_are_listed_at_once() -> None:
    joint = '<joint name="j" damping="1 0.5" stiffness="1 0.5"/>'
    text = document(f"<body>{joint}<geom size='1'/></body>", option='integrator="discrete"')
    with pytest.raises(sim.UnsupportedModelError) as caught:
        sim.Model.from_xml_string(text)
    assert len(caught.value.elements) == 3
    for word in ("discrete", "'j': polynomial stiffness", "'j': polynomial damping"):
        assert word in str(caught.value)
    assert len(str(caught.value).split("\n")) == 4, "a line for each kind"


def test_many_elements_are_counted_not_listed() -> None:
    sites = '<site name="s"/><body pos="0 0 1"><joint name="j"/><geom size="0.1"/><site name="t"/></body>'
    cord = '<spatial name="cord {}" stiffness="2" springyield="0.3"><site site="s"/><site site="t"/></spatial>'
    motor = '<general name="{{a}}" joint="j" dyntype="user"/>'  # a name in braces
    rest = f"<tendon>{''.join(cord.format(i) for i in range(2000))}</tendon><actuator>{motor}</actuator>"
    with pytest.raises(sim.UnsupportedModelError) as caught:
        sim.Model.from_xml_string(document(sites, rest))
    error = pickle.loads(pickle.dumps(caught.value))
    for e in (caught.value, error):
        assert [len(kind.names) for kind in e.kinds] == [1, 2000]
        assert e.elements[0] == "actuator '{{a}}': dyntype user" and len(e.elements) == 2001
        assert e.elements[-1] == "tendon 'cord 1999': springyield"
        _, actuators, tendons = str(e).split("\n")
        assert "'{{a}}': dyntype user - use dyntype none or integrator or filter" in actuators
        assert "tendon 'cord 0', 'cord 1', 'cord 2' and 1,997 more: springyield - set" in tendons
    kinds = [UnsupportedKind(f"option {i}", "leave it out", ()) for i in range(100)]
    lines = str(sim.UnsupportedModelError(kinds)).split("\n")
    assert len(lines) <= 25 and "and 78 more kinds" in lines[-1]


def test_actuators_of_several_controls_are_named() -> None:
    with pytest.raises(sim.UnsupportedModelError, match="actuator 'a': several controls or activations"):
        sim.Model.from_xml_string(with_actuator('<pid name="a" joint="j" kp="1"/>'))


def test_sleep_is_no_obstacle_where_nothing_may_fall_asleep() -> None:
    """Robots stay awake by themselves, as all trees with actuators; loose bodies by their own word."""
    loose = '<body pos="9 0 0" sleep="{}"><freejoint/><geom size="1"/></body>'
    for policy, names in (("never", []), ("allowed", ["number 2"])):
        text = with_actuator('<motor joint="j"/>', LIMB + loose.format(policy))
        text = text.replace("<worldbody>", '<option><flag sleep="enable"/></option><worldbody>', 1)
        if not names:
            model = sim.Model.from_xml_string(text)
            state = model.initial_state()._replace(qvel=np.full(model.nv, 1e-6))
            m = mujoco.MjModel.from_xml_string(text)
            d = mujoco.MjData(m)
            d.qvel[:] = state.qvel
            mujoco.mj_step(m, d, 100)
            found = sim.step(model, state, np.zeros(1), 100)
            np.testing.assert_allclose(found.qvel, d.qvel, rtol=0, atol=1e-9 * np.abs(d.qvel).max())
            continue
        with pytest.raises(sim.UnsupportedModelError) as caught:
            sim.Model.from_xml_string(text)
        assert caught.value.elements == [f"option flag sleep, with body {name} that may fall asleep" for name in names]


def test_elements_without_name_are_numbered() -> None:
    text = "<mujoco><worldbody><body><joint damping='1 0.5'/><geom size='1'/></body></worldbody></mujoco>"
    with pytest.raises(sim.UnsupportedModelError, match="joint number 0: polynomial damping"):
        sim.Model.from_xml_string(text)


@pytest.mark.parametrize("element", [name for name in UNSUPPORTED if name.endswith(("override", "diagexact"))])
def test_disabled_constraints_are_no_obstacle(element: str) -> None:
    option = "<option><flag constraint='disable'/></option>"
    sim.Model.from_xml_string(UNSUPPORTED[element].replace("<worldbody>", option + "<worldbody>", 1))


def test_contact_filters_are_mujocos() -> None:
    # neither parent and child, nor welded, nor excluded, nor masked geoms can collide
    chain = LIMB.replace("</body>", '<body><joint/><geom size="1"/><body><geom size="2"/></body></body></body>')
    excluded = '<contact><exclude body1="p" body2="q"/></contact>'
    masked = BOXES.replace('name="h"', 'name="h" contype="2" conaffinity="4"')
    for apart in (document(chain), document(BOXES, excluded), document(masked)):
        assert sim.Model.from_xml_string(apart).npair == 0
    pair = '<contact><exclude body1="p" body2="q"/><pair geom1="g" geom2="h"/><pair geom1="h" geom2="g"/></contact>'
    assert sim.Model.from_xml_string(document(BOXES, pair)).npair == 2  # a pair listed twice collides twice
    assert sim.Model.from_xml_string(document(BOXES)).npair == 1


# --- files ----------------------------------------------------------------------------------------


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no model file at .*robot\.xml"):
        sim.Model.from_xml_path(tmp_path / "robot.xml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<mujoco><worldbody>", "(?i)xml"),
        ("<mujoco><worldbody><bodi/></worldbody></mujoco>", r"(?s)bodi.*line 1|line 1.*bodi"),
        ("<mujoco><worldbody><body><joint/></body></worldbody></mujoco>", "(?i)mass"),
        ("<mujoco><actuator><motor joint='nowhere'/></actuator></mujoco>", "nowhere"),
    ],
)
def test_malformed_model_says_where(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        sim.Model.from_xml_string(text)
    (tmp_path / "robot.xml").write_text(text)
    with pytest.raises(ValueError, match=message):
        sim.Model.from_xml_path(tmp_path / "robot.xml")


def test_models_come_from_files_strings_specs_and_compiled_models(tmp_path: Path) -> None:
    (tmp_path / "robot.xml").write_text(SMOOTH_MECHANISM)
    compiled = mujoco.MjModel.from_xml_string(SMOOTH_MECHANISM)
    spec = mujoco.MjSpec.from_string(SMOOTH_MECHANISM)
    made = [sim.Model.from_xml_path(tmp_path / "robot.xml"), sim.Model.from_xml_path(str(tmp_path / "robot.xml"))]
    made += [sim.Model.from_mujoco(compiled), sim.Model.from_mujoco(spec)]
    for model in made:
        np.testing.assert_array_equal(model.body_mass, compiled.body_mass)
    compiled.body_mass[:] = 7.0
    assert made[2].body_mass[1] == 2.0, "the model given is copied"


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", sim.State._fields[:3])
def test_wrong_shapes_of_the_state(model: sim.Model, state: sim.State, field: str) -> None:
    size = getattr(state, field).size
    with pytest.raises(ValueError, match=rf"state\.{field} has shape \({size + 1},\), expected \(\.\.\., {size}\)"):
        sim.step(model, state._replace(**{field: np.zeros(size + 1)}), np.zeros(model.nu))


def test_batch_axes_must_agree(model: sim.Model, state: sim.State) -> None:
    with pytest.raises(ValueError, match=r"state\.qvel has shape \(2, \d+\), expected"):
        sim.step(model, state._replace(qvel=np.zeros((2, model.nv))), np.zeros(model.nu))
    with pytest.raises(ValueError, match=r"ctrl has shape \(2, \d+\), expected"):
        sim.step(model, state, np.zeros((2, model.nu)))
    with pytest.raises(ValueError, match=r"batch axes \(3,\), ctrls has \(2,\)"):
        three = sim.State(*(np.stack([part] * 3) for part in state))
        sim.rollout(model, three, np.zeros((2, 5, model.nu)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(model: sim.Model, state: sim.State, bad: float) -> None:
    nx = 2 * model.nv + model.na
    for field in sim.State._fields[:3]:
        value = getattr(state, field).copy()
        value[1] = bad
        with pytest.raises(ValueError, match=rf"state\.{field} is not finite at index \[1\]"):
            sim.step(model, state._replace(**{field: value}), np.zeros(model.nu))
    ctrl, cotangent = np.zeros(model.nu), np.zeros(nx)
    ctrl[2], cotangent[3] = bad, bad
    for call in (sim.step, sim.forward, sim.step_jacobian):
        with pytest.raises(ValueError, match=r"ctrl is not finite at index \[2\]"):
            call(model, state, ctrl)
    with pytest.raises(ValueError, match=r"cotangent is not finite at index \[3\]"):
        sim.step_vjp(model, state, np.zeros(model.nu), cotangent)


def test_wrong_shapes_of_controls_and_cotangents(model: sim.Model, state: sim.State) -> None:
    nu, nx = model.nu, 2 * model.nv + model.na
    with pytest.raises(ValueError, match=rf"ctrl has shape \({nu + 1},\), expected"):
        sim.forward(model, state, np.zeros(nu + 1))
    with pytest.raises(ValueError, match=rf"ctrls has shape \({nu},\), expected \(\.\.\., T, {nu}\)"):
        sim.rollout(model, state, np.zeros(nu))
    with pytest.raises(ValueError, match=rf"cotangent has shape \(3,\), expected \(\.\.\., {nx}\)"):
        sim.step_vjp(model, state, np.zeros(nu), np.zeros(3))
    path = sim.rollout(model, state, np.zeros((4, nu)))
    with pytest.raises(ValueError, match=rf"cotangents has shape \(4, {nx}\), expected \(5, {nx}\)"):
        sim.rollout_vjp(model, path, np.zeros((4, nx)))


def _backend_calls(backend: Any) -> dict[str, Callable[..., Any]]:
    """Functions of model, state, control and trajectory."""
    return {
        "step": lambda m, s, u, _: backend.step(m, s, u),
        "step_jacobian": lambda m, s, u, _: backend.step_jacobian(m, s, u),
        "step_vjp": lambda m, s, u, _: backend.step_vjp(m, s, u, np.zeros(2 * s.qvel.size + s.act.size)),
        "forward": lambda m, s, u, _: backend.forward(m, s, u),
        "cfrc_ext": lambda m, s, u, _: backend.cfrc_ext(m, s, u),
        "cfrc_ext_vjp": lambda m, s, u, _: backend.cfrc_ext_vjp(m, s, u, np.zeros((7, 6))),
        "rollout": lambda m, s, u, _: backend.rollout(m, s, u[None]),
        "rollout_vjp": lambda m, s, _, path: backend.rollout_vjp(m, path, np.zeros((2, 2 * s.qvel.size + s.act.size))),
    }


def _torch_calls() -> dict[str, Callable[..., Any]]:
    bridge, tensor = sim.torch_bridge, torch.as_tensor
    return {
        "torch step": lambda m, s, u, _: bridge.step(m, *map(tensor, (*s[:3], u))),
        "torch rollout": lambda m, s, u, _: bridge.rollout(m, *map(tensor, (*s[:3], u[None]))),
        "torch cfrc_ext": lambda m, s, u, _: bridge.cfrc_ext(m, *map(tensor, (*s[:3], u))),
        "torch kinematics": lambda m, s, *_: bridge.kinematics(m, tensor(s.qpos)),
    }


CALLS = {
    **_backend_calls(sim),
    **{f"twin {name}": call for name, call in _backend_calls(sim.mujoco_twin).items()},
    **_torch_calls(),
    "Models": lambda m, *_: sim.Models(m),
}


@pytest.mark.parametrize("name", CALLS)
def test_something_else_in_the_place_of_a_model(name: str, model: sim.Model, state: sim.State) -> None:
    ctrl = np.zeros(model.nu)
    path = sim.rollout(model, state, ctrl[None])
    wrong = {
        "MjModel": model.mj_model,
        "MjSpec": mujoco.MjSpec(),
        "str": "ant.xml",
        "PosixPath": Path("ant.xml"),
        "NoneType": None,
        "State": state,
        "a list with MjModel": [model, model.mj_model],
        "an empty list": [],
    }
    for described, given in wrong.items():
        with pytest.raises(TypeError) as caught:
            CALLS[name](given, state, ctrl, path)
        expected = f"model: expected a sim.Model, or a sequence of them, one for each world, got {described}; "
        assert str(caught.value) == expected + "Model.from_xml_path, from_xml_string and from_mujoco make one"


def test_models_of_something_else(model: sim.Model) -> None:
    wrong: Any = model.mj_model
    with pytest.raises(TypeError, match=r"^Model\.from_xml_path: expected a path, got MjModel; from_mujoco takes a"):
        sim.Model.from_xml_path(wrong)
    with pytest.raises(TypeError, match=r"^Model\.from_xml_string: expected text, got MjModel; files: from_xml_path"):
        sim.Model.from_xml_string(wrong)
    for wrong in ("ant.xml", model):
        with pytest.raises(
            TypeError, match=r"^Model\.from_mujoco: expected a mujoco\.MjModel or MjSpec, got (str|Model);"
        ):
            sim.Model.from_mujoco(wrong)


def test_wrong_types(model: sim.Model, state: sim.State) -> None:
    with pytest.raises(TypeError, match=r"state: expected a sim\.State, got ndarray"):
        sim.step(model, state.qpos, np.zeros(model.nu))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="ctrl: expected numbers"):
        sim.step(model, state, "full speed")
    with pytest.raises(ValueError, match=r"n_steps is 0, need at least 1"):
        sim.step(model, state, np.zeros(model.nu), n_steps=0)
    with pytest.raises(ValueError, match="set_num_threads: 0 threads"):
        sim.set_num_threads(0)
    with pytest.raises(AttributeError, match="no attribute 'steps'"):
        sim.steps  # noqa: B018


@pytest.mark.parametrize(
    ("field", "error", "message"),
    [
        ({"colour": 1.0}, TypeError, "'colour' is not a field"),
        ({"nq": 3}, TypeError, "'nq'"),
        ({"body_mass": np.ones(2)}, ValueError, r"body_mass has shape \(2,\), expected \(7,\)"),
        ({"body_mass": 1.0}, ValueError, r"body_mass has shape \(\), expected \(7,\)"),
        ({"gravity": np.array([0.0, np.nan, 0.0])}, ValueError, "gravity is not finite"),
        ({"timestep": np.nan}, ValueError, "timestep"),
        ({"timestep": -0.1}, ValueError, "timestep"),
        ({"integrator": 4}, sim.UnsupportedModelError, "discrete"),
        ({"integrator": 9}, ValueError, "integrator is 9, need one of 0 1 2 3 4$"),
        ({"cone": 2}, ValueError, "cone is 2, need one of 0 1$"),
        ({"cone": "elliptic"}, TypeError, "cone is 'elliptic', expected numbers"),
        ({"solver": [0, 1]}, ValueError, r"solver has shape \(2,\), expected \(\)"),
        ({"impratio": 0.0}, ValueError, "impratio is 0.0, need more than 0"),
        ({"iterations": -1}, ValueError, "iterations is -1, need an integer of at least 1"),
        ({"ls_iterations": 2.5}, ValueError, "ls_iterations has fractions, expected whole numbers"),
        ({"body_parentid": np.zeros(7)}, TypeError, "'body_parentid' is structure, which cannot change"),
        ({"actuator_gaintype": np.full(7, 77)}, ValueError, "actuator_gaintype is 77, need one of"),
    ],
)
def test_replace_refuses(model: sim.Model, field: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        model.replace(**field)
