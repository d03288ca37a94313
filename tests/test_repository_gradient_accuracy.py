"""The references of the benchmark of gradients are true, and it reports errors as they are."""

import json
from pathlib import Path
from typing import Any

import gradient_accuracy
import mujoco
import numpy as np
import pytest
from extended_precision import Chain, chain_derivative
from extrapolation import extrapolated
from gradient_references import Reference, reference, relative
from mechanisms import chain
from sides import Side

from gradgym import sim


def swinging(n: int) -> tuple[mujoco.MjModel, np.ndarray, np.ndarray, np.ndarray]:
    m, rng = chain(n), np.random.default_rng(0)
    m.dof_armature[:] = 0.01 * rng.random(n)
    return m, *rng.normal(size=(3, n))


def test_the_chain_moves_as_mujocos_does() -> None:
    m, qpos, qvel, ctrl = swinging(4)
    d = mujoco.MjData(m)
    d.qpos[:], d.qvel[:], d.ctrl[:] = qpos, qvel, ctrl
    mujoco.mj_step(m, d)
    found = Chain(m).step(*(x[None].astype(np.clongdouble) for x in (qpos, qvel, ctrl)))
    # MuJoCo rounds to 1e-16 of velocities of about one; accelerations are a hundred times that, over 0.002 s.
    np.testing.assert_allclose(np.real(found[0][0]).astype(float), d.qpos, atol=1e-14)
    np.testing.assert_allclose(np.real(found[1][0]).astype(float), d.qvel, atol=1e-14)


@pytest.mark.parametrize("steps", [1, 20])
def test_the_chains_derivative_is_ours(steps: int) -> None:
    m, qpos, qvel, ctrl = swinging(4)
    exact = chain_derivative(m, qpos, qvel, ctrl, steps)
    ours = sim.step_jacobian(sim.Model.from_mujoco(m), sim.State(qpos, qvel, np.empty(0)), ctrl, n_steps=steps)
    # Ours rounds at every step.
    np.testing.assert_allclose(np.hstack([ours.A, ours.B]), exact.value, atol=2e-15 * steps)
    assert np.max(exact.uncertainty) < 1e-15


def test_a_tree_is_no_chain() -> None:
    m = mujoco.MjModel.from_xml_string("""<mujoco><worldbody><body><joint/><geom size="0.1"/>
        <body><joint/><geom size="0.1"/></body><body><joint/><geom size="0.1"/></body></body></worldbody></mujoco>""")
    with pytest.raises(ValueError, match="not a chain"):
        Chain(m)


def test_extrapolation_knows_its_error() -> None:
    def smooth(x: Any) -> Any:
        return np.stack([np.sin(3.0 * x[:, 0]) * np.exp(x[:, 1]), np.cos(x[:, 0]) + 5.0 * x[:, 1]], axis=1)

    found = extrapolated(smooth, 2, (2,))
    error = np.abs(found.value - [[3.0, 0.0], [0.0, 5.0]])
    assert np.max(error) < 1e-11
    assert np.linalg.norm(error) < 2.0 * np.linalg.norm(found.uncertainty) < 1e-10


@pytest.mark.parametrize("distance", [1e-5, 0.0])
def test_extrapolation_knows_its_error_near_a_kink(distance: float) -> None:
    """|x - distance| x + x has the derivative 1 + distance on both sides of zero; at the kink 1, but no second one."""
    found = extrapolated(lambda x: np.abs(x - distance) * x + x, 1, (1,))
    error = abs(found.value[0, 0] - (1.0 + distance))
    assert error < 10.0 * found.uncertainty[0, 0] < 1e-6


def test_errors_are_of_the_worst_block_and_may_be_infinite() -> None:
    value = np.ones((4, 6))
    deviation = np.zeros((4, 6))
    deviation[2:, 4:] = 0.01
    assert relative(deviation, value, 2) == pytest.approx(0.01)
    known = Reference(value, 1e-9)
    assert known.error(value + deviation, 2) == pytest.approx(0.01)
    assert known.error(np.where(deviation > 0.0, np.nan, value), 2) is None
    assert gradient_accuracy.shown(None, 1e-9) == "not finite"
    assert gradient_accuracy.shown(1e-10, 1e-9) == "< 1e-09"
    assert gradient_accuracy.shown(3e-5, 1e-9) == "3e-05"


def test_jacobians_chain_to_the_gradient() -> None:
    case = gradient_accuracy.CASES["chain of 7, swinging"]()
    functional = np.random.default_rng(1).normal(size=(1, 14))
    model, states = sim.Model.from_mujoco(case.model), gradient_accuracy.path(case)[1]
    jacobians = [np.hstack(sim.step_jacobian(model, state, case.ctrl)) for state in states]
    gradient = gradient_accuracy.by_ours(case, functional)[1]
    np.testing.assert_allclose(gradient_accuracy.chained(jacobians, functional), gradient, atol=1e-11)


def test_accuracy_is_measured_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measurement, results = gradient_accuracy.MEASUREMENT, tmp_path / "results.json"
    assert measurement.main(["--quick", "--results", str(results)]) == 0
    rows = json.loads(results.read_text())["rows"]
    for row in rows:
        assert row["uncertainty"] < 1e-15
        assert row["ours"] < 1e-13
        for errors in row["differences"].values():
            assert 1e-11 < min(errors) < 1e-5
    assert "chain of 7, swinging: gradient of 50 steps" in capsys.readouterr().out
    assert measurement.plot is not None and measurement.notes is not None
    measurement.plot(rows, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").exists()
    assert measurement.notes(rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in gradient_accuracy.CASES if "chain" not in name])
def test_jacobians_in_contact_are_those_of_both_engines(name: str) -> None:
    case = gradient_accuracy.CASES[name]()
    nv = case.model.nv
    known = reference(case, 1, np.eye(2 * nv))
    assert known.uncertainty < 1e-8
    jacobian, _ = gradient_accuracy.by_ours(case, np.ones((1, 2 * nv)))
    error = known.error(jacobian, nv)
    assert error is not None and error < 3.0 * known.uncertainty


@pytest.mark.slow
def test_mjx_gives_the_jacobian_of_a_free_body() -> None:
    pytest.importorskip("mujoco.mjx")
    case = gradient_accuracy.CASES["Laikago, only its feet"]()
    functional = np.random.default_rng(0).normal(size=(1, 36))
    jacobian, gradient = gradient_accuracy.by_ours(case, functional)
    with Side("mjx_gradients") as side:
        found = gradient_accuracy.by_mjx(side, case, functional)
    assert relative(found.jacobians[0] - jacobian, jacobian, 18) < 1e-9
    assert relative(found.gradients["zeros"] - gradient, gradient, 18) < 1e-8
    assert found.step_difference < 1e-6
