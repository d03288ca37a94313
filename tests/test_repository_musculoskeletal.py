"""The benchmark of bodies driven by muscles: its comparison with MuJoCo, and what it says without the models."""

import sys

import contact_speed
import mujoco
import musculoskeletal
import numpy as np
import pytest

from gradgym import sim


def test_without_the_models_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "myo_sim", None)
    with pytest.raises(ImportError, match=r"^[^\n]*no module 'myo_sim'[^\n]*pip install myo_sim[^\n]*$"):
        musculoskeletal.CASES["MyoHand"]()


def test_differences_find_a_wrong_jacobian(monkeypatch: pytest.MonkeyPatch) -> None:
    resting = contact_speed.ant(mujoco.mjtIntegrator.mjINT_EULER)
    model, at = sim.Model.from_mujoco(resting.model), contact_speed.starts(resting)
    case = musculoskeletal.Case(resting.model, lambda d: None, lambda rng: rng.uniform(size=model.nu))
    assert musculoskeletal.step_difference(case, model, at) < 1e-6
    theirs, ours, compared, switched = musculoskeletal.jacobian_differences(case, model, at)
    assert theirs < 1e-6 and ours < 1e-6
    assert compared + switched == 2 * model.nv + model.nu and compared > 20
    exact = sim.step_jacobian

    def wrong(*given: object) -> object:
        a, b = exact(*given)  # pyright: ignore[reportArgumentType]
        return a, b * 1.01

    monkeypatch.setattr(sim, "step_jacobian", wrong)
    assert min(musculoskeletal.jacobian_differences(case, model, at)[:2]) > 1e-5


def test_starts_are_states_that_mujoco_comes_by() -> None:
    model = mujoco.MjModel.from_xml_string("""<mujoco><worldbody><body><joint name="j"/><geom size="0.1"/></body>
      </worldbody><actuator><muscle joint="j" lengthrange="0 1"/></actuator></mujoco>""")

    def start(d: mujoco.MjData) -> None:
        d.qpos[0] = 0.3

    at = musculoskeletal.starts(musculoskeletal.Case(model, start, lambda rng: rng.uniform(size=1)))
    assert len({float(ctrl[0]) for ctrl in at.ctrls}) > 4
    assert all(state.act[0] > 0 and state.qpos[0] != 0.3 and np.isfinite(state.qvel).all() for state in at.states)


def test_rows_make_table_and_notes() -> None:
    row = {
        "case": "MyoFoot",
        "nv": 3,
        "muscles": 5,
        "contacts": [0, 2],
        "rows": [4, 4],
        "microseconds": {"mj_step": 20.0, "step": 10.04, "mj_jacobian": 900.0, "jacobian": 60.2},
        "step / mj_step": 0.502,
        "differences / jacobian": 14.96,
        "difference of a step": 2e-9,
        "from differences of MuJoCo": 3e-7,
        "from differences of ours": 4e-9,
        "columns": [16, 1],
    }
    assert musculoskeletal.table([row]).splitlines()[-1] == "| MyoFoot | 3 | 5 | 0 to 2 | 4 | 10.0 | 0.50 | 60 | 15.0 |"
    assert "MyoFoot 2e-09, 3e-07 and 4e-09 (16 columns, 1 left out)" in musculoskeletal.notes([row])
