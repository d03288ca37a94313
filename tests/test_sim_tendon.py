"""Fixed tendons against MuJoCo and differences: springs, dampers, limits, friction loss, armature, actuators."""

import mujoco
import numpy as np
import pytest
from derivatives import assert_constrained_step, smooth_parameters
from parity import HAND_ASSETS, INTEGRATORS, TIGHT, assert_same_rows, assert_same_step, random_state

from gradgym import sim

EQUALITY, FRICTION_DOF, FRICTION_TENDON, LIMIT_JOINT, LIMIT_TENDON = range(5)  # mjtConstraint
FINGER = """
<mujoco>
  <option timestep="0.002"/>
  <default><joint armature="2e-4" damping="0.05" frictionloss="0.01" limited="true"/></default>
  <worldbody><body>
    <joint name="wrist" axis="0 0 1" range="-0.5 0.5"/><geom type="capsule" fromto="0 0 0 0.1 0 0" size="0.02"/>
    <body pos="0.1 0 0"><joint name="J3" axis="0 1 0" range="-0.2 1.5"/>
      <geom type="capsule" fromto="0 0 0 0.04 0 0" size="0.01"/>
      <body pos="0.05 0 0"><joint name="J2" axis="0 1 0" range="0 1.6"/>
        <geom type="capsule" fromto="0 0 0 0.03 0 0" size="0.01"/>
        <body pos="0.04 0 0"><joint name="J1" axis="0 1 0" range="0 1.6"/>
          <geom type="capsule" fromto="0 0 0 0.03 0 0" size="0.01"/></body></body></body>
  </body></worldbody>
  <tendon>
    <fixed name="J0"><joint joint="J2" coef="1"/><joint joint="J1" coef="1"/></fixed>
    <fixed name="lag" limited="true" range="-0.001 0.001" margin="0.01">
      <joint joint="J1" coef="1"/><joint joint="J2" coef="-1"/></fixed>
  </tendon>
  <actuator><position joint="wrist" kp="5"/><position joint="J3" kp="1"/>
    <position tendon="J0" kp="1" ctrlrange="0 3" forcerange="-1 1"/></actuator>
</mujoco>"""


def with_options(text: str, integrator: str | None = None, option: str = TIGHT) -> sim.Model:
    """The model at tight tolerance, contacts off."""
    flags = '<option><flag contact="disable"/></option>'
    if integrator is not None:
        flags += f'<option integrator="{integrator}"/>'
    return sim.Model.from_xml_string(text.replace("<worldbody>", option + flags + "<worldbody>", 1))


def random_tendons(seed: int, integrator: str = "Euler") -> sim.Model:
    """A mechanism of two branches and a loose body, tied together by tendons of every kind."""
    rng = np.random.default_rng(seed)
    names = ["a", "b", "c", "d", "e"]

    def tendon(i: int) -> str:
        chosen = rng.choice(names, size=rng.integers(1, 4), replace=False)
        joints = "".join(f'<joint joint="{j}" coef="{rng.normal():.6g}"/>' for j in chosen)
        low, high = sorted(rng.normal(scale=0.4, size=2))
        fields = [f'name="t{i}"']
        if rng.random() < 0.5:
            powers = f"{rng.uniform(1, 20):.6g} {rng.uniform(0, 5):.6g} {rng.uniform(0, 5):.6g}"
            fields.append(f'stiffness="{powers}" springlength="{low:.6g} {high:.6g}"')
        if rng.random() < 0.5:
            fields.append(f'damping="{rng.uniform(0.1, 2):.6g} {rng.uniform(0, 1):.6g} {rng.uniform(0, 1):.6g}"')
        if rng.random() < 0.6:
            margin = rng.choice([0.0, rng.uniform(0.01, 0.3)])
            fields.append(f'limited="true" range="{low:.6g} {high:.6g}" margin="{margin:.6g}"')
            fields.append('solreflimit="0.03 0.7" solimplimit="0.7 0.95 0.2 0.4 3"')
        if rng.random() < 0.4:
            fields.append(f'frictionloss="{rng.uniform(0.1, 2):.6g}" solreffriction="0.05 1"')
        if i == 0:  # in each, so that all share kernels
            fields.append(f'armature="{rng.uniform(0.05, 0.5):.6g}"')
        if rng.random() < 0.3:
            fields.append('actuatorfrclimited="true" actuatorfrcrange="-0.8 0.7"')
        return f"<fixed {' '.join(fields)}>{joints}</fixed>"

    def actuator(i: int) -> str:
        common = f'tendon="t{i}" gear="{rng.normal():.6g}"'
        if rng.random() < 0.3:
            common += ' forcerange="-0.9 0.6"'
        gain, bias = rng.normal(size=3), rng.uniform(-1, 0, size=3)
        affine = f'gaintype="affine" gainprm="{gain[0]:.6g} {gain[1]:.6g} {gain[2]:.6g}" biastype="affine" '
        affine += f'biasprm="{bias[0]:.6g} {bias[1]:.6g} {bias[2]:.6g}"'
        styles = [
            f"<motor {common}/>",
            f'<position {common} kp="3" kv="0.4" ctrlrange="-1 1"/>',
            f'<velocity {common} kv="2"/>',
            f"<general {common} {affine}/>",
            f'<general {common} {affine} dyntype="filter" dynprm="0.1"/>',
        ]
        return styles[rng.integers(len(styles))]

    tendons = "".join(tendon(i) for i in range(4))
    actuators = "".join(actuator(i) for i in range(4))
    text = f"""<mujoco><option timestep="0.005" integrator="{integrator}"/><worldbody>
      <body><joint name="a" axis="0 1 0.2" limited="true" range="-30 40"/><geom size="0.1" pos="0.3 0 0"/>
        <body pos="0.4 0 0"><joint name="b" axis="1 0 1" frictionloss="0.3" damping="0.2"/>
          <geom size="0.1" pos="0.3 0 0.1"/>
          <body pos="0.3 0 0"><joint type="ball" range="0 40" limited="true"/><geom size="0.08" pos="0 0 0.2"/></body>
        </body>
        <body pos="0 0.4 0"><joint name="c" type="slide" axis="0 1 1" actuatorfrclimited="true"
          actuatorfrcrange="-0.3 0.4"/><geom type="box" size="0.1 0.05 0.08"/></body></body>
      <body pos="2 0 0"><freejoint/><geom type="box" size="0.1 0.2 0.1"/>
        <body pos="0.2 0 0"><joint name="d" axis="1 0 0" stiffness="2"/><geom size="0.1" pos="0 0.3 0"/>
          <joint name="e" type="slide" axis="1 1 0"/></body></body>
      </worldbody><tendon>{tendons}</tendon><equality><tendon tendon1="t3" solref="0.1 1"/></equality>
      <actuator>{actuators}<position joint="c" kp="2" kv="1"/></actuator></mujoco>"""
    return with_options(text)


def test_random_tendons_equal_mujoco() -> None:
    kinds: set[int] = set()
    for seed in range(25):
        model = random_tendons(seed, INTEGRATORS[seed % 3])
        for k in range(3):
            state, ctrl = random_state(model, 7 * seed + k, speed=1.5)
            kinds |= set(assert_same_rows(model, state, ctrl))
            # the solution may be off by the solver's tolerance, see test_sim_contact.py
            assert_same_step(model, state, ctrl, 1e-6)
    assert kinds == {EQUALITY, FRICTION_DOF, FRICTION_TENDON, LIMIT_JOINT, LIMIT_TENDON}


def _hand() -> sim.Model:
    spec = mujoco.MjSpec.from_file(str(HAND_ASSETS / "manipulate_block.xml"))
    spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    spec.option.tolerance, spec.option.iterations = 1e-16, 100
    spec.option.ls_iterations, spec.option.ls_tolerance = 100, 1e-9
    return sim.Model.from_mujoco(spec)


def test_the_shadow_hand_and_a_finger_with_a_tendon_actuator_equal_mujoco() -> None:
    for model, scale in ((_hand(), 0.3), (with_options(FINGER), 1.0)):
        limits = 0
        for seed in range(20):
            state, ctrl = random_state(model, seed)
            qpos = model.qpos0.copy()
            shift = np.random.default_rng(seed).normal(scale=scale, size=model.nv)
            mujoco.mj_integratePos(model.mj_model, qpos, shift, 1.0)
            state = state._replace(qpos=qpos)
            limits += LIMIT_TENDON in assert_same_rows(model, state, ctrl)
            assert_same_step(model, state, ctrl, 1e-6)
        assert limits >= 15


@pytest.mark.parametrize("flag", ["constraint", "limit", "frictionloss", "spring", "damper", "actuation"])
def test_flags_disable_what_mujoco_disables(flag: str) -> None:
    for seed in range(3):
        mj_model = random_tendons(seed, INTEGRATORS[seed]).mj_model
        bit = getattr(mujoco.mjtDisableBit, f"mjDSBL_{flag.upper()}")
        mj_model.opt.disableflags |= int(bit)
        model = sim.Model.from_mujoco(mj_model)
        state, ctrl = random_state(model, seed)
        assert_same_step(model, state, ctrl, 1e-6)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_jacobian_and_vjp_equal_differences(integrator: str) -> None:
    models = [random_tendons(seed, integrator) for seed in range(6)]
    if integrator == "Euler":
        models.append(with_options(FINGER))
    smooth = 0
    for seed, model in enumerate(models):
        state, ctrl = random_state(model, seed, speed=1.5)
        smooth += assert_constrained_step(model, state, ctrl, seed, directions=4)
    assert smooth >= 20


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_parameter_gradients_equal_differences(integrator: str) -> None:
    names = ("body_mass", "body_pos", "dof_damping", "actuator_gear", "actuator_gainprm", "actuator_biasprm")
    smooth: list[str] = []
    for seed in range(8):
        model = random_tendons(seed, integrator)
        state, ctrl = random_state(model, seed, speed=1.5)
        smooth += smooth_parameters(model, state, ctrl, names, seed)
    assert all(smooth.count(name) >= 4 for name in names), smooth


def test_wild_states_stay_finite() -> None:
    """Tendons stretched far beyond their limits and huge velocities: finite numbers or none, no hang."""
    for seed in range(5):
        model, rng = random_tendons(seed), np.random.default_rng(seed)
        qpos = rng.normal(size=(100, model.nq)) * rng.choice([0.1, 1.0, 10.0], size=(100, 1))
        qvel = rng.normal(size=(100, model.nv)) * rng.choice([1.0, 100.0, 1e4], size=(100, 1))
        state = sim.State(qpos, qvel, rng.normal(size=(100, model.na)))
        found = sim.forward(model, state, rng.normal(size=(100, model.nu)))
        assert np.isfinite(found.qacc).all() and np.isfinite(found.efc_force).all()
