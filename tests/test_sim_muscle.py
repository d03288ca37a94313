"""Muscles and early activations against MuJoCo and differences, on every branch of their curves."""

import mujoco
import numpy as np
import pytest
from derivatives import (
    assert_constrained_step,
    assert_derivative,
    differentiate,
    is_smooth,
    smooth_parameters,
    step_map,
)
from kernels import all_kernels
from parity import INTEGRATORS, TIGHT, assert_same_stages, assert_same_step, load, random_state, spoil_workspaces

from gradgym import sim
from gradgym.sim.kernels.binding import source_of
from gradgym.sim.pipeline.entry_points import entry_points

# what takes another compilation of the whole adjoint
QUICK = [x if x != "RK4" else pytest.param(x, marks=pytest.mark.slow) for x in INTEGRATORS]
# in a thin fluid: of one kind with the swimmer of test_sim_fluid.py, so that it compiles nothing of its own
ARM = """
<mujoco>
  <compiler angle="radian"/>
  <option timestep="0.005" density="1"/>
  <worldbody>
    <body pos="0 0 1"><joint name="shoulder" axis="0 1 0.2" damping="0.3" armature="0.02"/>
      <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.04"/>
      <body pos="0.3 0 0"><joint name="elbow" axis="0.1 1 0" damping="0.2" armature="0.02"/>
        <geom type="capsule" fromto="0 0 0 0.25 0 0" size="0.03"/>
        <body pos="0.25 0 0"><joint name="hand" type="slide" axis="1 0 0.3" stiffness="20" damping="1"/>
          <geom size="0.05"/></body></body></body>
    <body pos="0 1 1"><joint name="neck" type="ball" damping="0.1"/><geom type="box" size="0.1 0.2 0.1" pos="0 0 0.3"/>
    </body>
  </worldbody>
  <tendon><fixed name="biceps"><joint joint="shoulder" coef="0.4"/><joint joint="elbow" coef="-0.7"/></fixed></tendon>
  <actuator>{}<general joint="hand" dyntype="muscle" dynprm="0.02 0.05" actearly="true"/></actuator>
</mujoco>"""
OWN = ("actuator_dynprm", "actuator_lengthrange")
GROUND = '<body pos="0 0 0.8"><geom type="plane" size="3 3 1"/></body>'
TARGETS = ('joint="shoulder"', 'joint="elbow"', 'joint="hand"', 'tendon="biceps"', 'joint="neck" gear="0.3 1 0.4"')


def _numbers(values: object) -> str:
    return " ".join(f"{float(v):.6g}" for v in np.atleast_1d(values))  # type: ignore[arg-type]


def random_muscles(seed: int, number: int = 7) -> str:
    """Muscles of all parameters, and mixtures of their parts with those of other actuators."""
    rng = np.random.default_rng(seed)

    def law() -> str:
        force = rng.choice([-1.0, rng.uniform(2, 20)])
        low, high = rng.uniform(0.4, 0.8), rng.uniform(1.3, 2.0)
        rest = rng.uniform(0.5, 3), rng.uniform(0.5, 2), rng.uniform(1.1, 1.8)
        return _numbers([low + 0.1, high - 0.2, force, rng.uniform(10, 60), low, high, *rest])

    def actuator() -> str:
        start = rng.uniform(-1.5, -0.2)
        fields = [str(rng.choice(TARGETS)), f'lengthrange="{_numbers([start, start + rng.uniform(0.8, 2.5)])}"']
        if rng.random() < 0.3:
            fields.append('ctrlrange="0.1 0.8" ctrllimited="true"')
        if rng.random() < 0.2:
            fields.append('forcerange="-6 2" forcelimited="true"')
        prm = law()
        gain = rng.choice(["muscle", "muscle", "muscle", "fixed", "affine"])
        bias = rng.choice(["muscle", "muscle", "muscle", "none", "affine"])
        fields.append(f'gaintype="{gain}" gainprm="{prm if gain == "muscle" else _numbers(rng.normal(size=3))}"')
        if bias != "none":
            affine = _numbers([rng.normal(), -rng.uniform(0, 3), -rng.uniform(0, 1)])
            fields.append(f'biastype="{bias}" biasprm="{prm if bias == "muscle" else affine}"')
        dyn = rng.choice(["muscle", "muscle", "none", "integrator", "filter", "filterexact"])
        if dyn != "none":
            smooth = rng.choice([0.0, rng.uniform(0.2, 2)])
            fields.append(
                f'dyntype="{dyn}" dynprm="{_numbers([rng.uniform(0.01, 0.1), rng.uniform(0.03, 0.2), smooth])}"'
            )
            fields.append(f'actearly="{"true" if rng.random() < 0.5 else "false"}"')
            if rng.random() < 0.3:
                fields.append('actlimited="true" actrange="0.05 0.7"')
        return f"<general {' '.join(fields)}/>"

    return "".join(actuator() for _ in range(number))


def situation(model: sim.Model, seed: int) -> tuple[sim.State, np.ndarray]:
    """A state, activations and controls from below 0 to above 1."""
    state, _ = random_state(model, seed)
    rng = np.random.default_rng(seed)
    return state._replace(act=rng.uniform(-0.2, 1.3, size=model.na)), rng.uniform(-0.3, 1.4, size=model.nu)


@pytest.mark.parametrize("integrator", QUICK)
def test_forces_activations_and_steps_equal_mujoco(integrator: str) -> None:
    for seed in range(12):
        model = load(ARM.format(random_muscles(seed)), integrator)
        for k in range(3):
            state, ctrl = situation(model, 10 * seed + k)
            assert_same_stages(model, state, ctrl)
            assert_same_step(model, state, ctrl)


@pytest.mark.parametrize("integrator", QUICK)
def test_derivatives_equal_differences(integrator: str) -> None:
    smooth = 0
    for seed in range(10):
        model = load(ARM.format(random_muscles(seed)), integrator)
        state, ctrl = situation(model, seed)
        spoil_workspaces(model, (model.nv + model.na, False))
        jac, rng = sim.step_jacobian(model, state, ctrl), np.random.default_rng(seed)
        whole = np.hstack([jac.A, jac.B])
        cotangent = rng.normal(size=len(whole))
        vjp = sim.step_vjp(model, state, ctrl, cotangent)
        np.testing.assert_allclose(np.concatenate([vjp.state, vjp.ctrl]), cotangent @ whole, rtol=0, atol=1e-10)
        for _ in range(3):
            direction = rng.normal(size=whole.shape[1])
            found = differentiate(step_map(model), (state, ctrl), direction, h=1e-5)
            if is_smooth(found, 1e-5):  # no piece of a curve ends between the points
                assert_derivative(whole @ direction, found, 1e-6)
                smooth += 1
    assert smooth >= 20


@pytest.mark.parametrize("integrator", QUICK)
def test_parameter_gradients_equal_differences(integrator: str) -> None:
    names, smooth = ("actuator_gainprm", "actuator_biasprm", "actuator_gear", "body_mass", *OWN), list[str]()
    for seed in range(8):
        model = load(ARM.format(random_muscles(seed)), integrator)
        state, ctrl = situation(model, seed)
        smooth += smooth_parameters(model, state, ctrl, names, seed)
    assert all(smooth.count(name) >= 4 for name in names), smooth


def test_every_piece_of_the_curves_is_visited() -> None:
    """What the tests above rest on: lengths and velocities on each side of each corner."""
    pieces: set[tuple[str, int]] = set()
    for seed in range(12):
        model = load(ARM.format(random_muscles(seed)))
        for k in range(3):
            state, _ = situation(model, 10 * seed + k)
            d = mujoco.MjData(model.mj_model)
            d.qpos[:], d.qvel[:] = state.qpos, state.qvel
            mujoco.mj_forward(model.mj_model, d)
            for i in np.flatnonzero(model.actuator_gaintype == int(mujoco.mjtGain.mjGAIN_MUSCLE)):
                p, (low, high) = model.actuator_gainprm[i], model.actuator_lengthrange[i]
                unit = (high - low) / (p[1] - p[0])
                x, v = p[0] + (d.actuator_length[i] - low) / unit, d.actuator_velocity[i] / (unit * p[6])
                pieces.add(("length", int(np.searchsorted([p[4], (p[4] + 1) / 2, 1, (1 + p[5]) / 2, p[5]], x))))
                pieces.add(("velocity", int(np.searchsorted([-1, 0, p[8] - 1], v))))
    assert pieces == {("length", k) for k in range(6)} | {("velocity", k) for k in range(4)}


def test_steps_in_contact_and_their_derivatives() -> None:
    text = ARM.format(random_muscles(3)).replace("<worldbody>", TIGHT + "<worldbody>" + GROUND, 1)
    model, touching, smooth = sim.Model.from_xml_string(text), 0, 0
    for seed in range(8):
        state, ctrl = situation(model, seed)
        touching += sim.forward(model, state, ctrl).contact.dist.min(initial=1.0) < 0
        assert_same_step(model, state, ctrl, 1e-8)
        if seed < 4:
            smooth += assert_constrained_step(model, state, ctrl, seed)
    assert touching >= 4 and smooth >= 4


def test_the_muscle_shortcut_has_its_own_length_range() -> None:
    """`<muscle>` without lengthrange: the compiler finds it, and the scale is relative to acc0."""
    muscle = '<muscle joint="elbow" tausmooth="0.3" scale="30"/>'
    text = ARM.format(muscle).replace('name="elbow"', 'name="elbow" range="-1 2" limited="true"')
    model = load(text)
    assert model.actuator_lengthrange[0, 0] < model.actuator_lengthrange[0, 1]
    for seed in range(3):
        assert_same_step(model, *situation(model, seed))


def test_models_without_muscles_do_not_compile_them() -> None:
    text = ARM.format('<general {} dyntype="{}" dynprm="0.1 0.1" actearly="{}"/>')
    text = text.replace('<general joint="hand" dyntype="muscle" dynprm="0.02 0.05" actearly="true"/>', "")
    compiled = {
        (dyn, early): {
            source_of(one).__name__
            for one in all_kernels(entry_points(load(text.format(TARGETS[0], dyn, early))).rollout_adj)
        }
        for dyn, early in (("filter", "false"), ("filter", "true"), ("muscle", "false"))
    }
    for kind, names in compiled.items():
        assert ("muscle_rate" in names) == (kind[0] == "muscle")
        assert ("_next" in names) == (kind[1] == "true")
