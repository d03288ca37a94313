"""A round geom that presses on the middle of a face: GJK ends on a diagonal there, but it slides on the face.

Steps are MuJoCo's either way; what an edge in place of the face spoils is the derivative, since the normal
would turn around the edge as the ball slides.
"""

import mujoco
import numpy as np
import pytest
from contact_scenes import tight
from derivatives import assert_derivative, differentiate, is_smooth, step_map

from gradgym import sim

RADIUS, HALF = 0.15, 0.1  # of prisms [m]
DEPTH = 4e-4  # between the places where the impedance of the default solimp is not smooth [m]
MARGIN = 0.002  # of what shall press while it is apart, as ellipsoids, which have no core, must for GJK [m]
# how high it stands [m]
ROUND = {
    "sphere": ('type="sphere" size="0.05"', 0.05),
    "capsule": ('type="capsule" size="0.05 0.1"', 0.15),
    "ellipsoid": (f'type="ellipsoid" size="0.04 0.06 0.05" margin="{MARGIN}"', 0.05 + MARGIN),
}


def prism(sides: int) -> np.ndarray:
    """Vertices of an upright prism, symmetric in z, whose first face looks along x."""
    angles = 2 * np.pi * (np.arange(sides) + 0.5) / sides
    return np.array([(RADIUS * np.cos(a), RADIUS * np.sin(a), z) for a in angles for z in (-HALF, HALF)])


def middle_of_side(sides: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    angle = 2 * np.pi * number / sides
    normal = np.array([np.cos(angle), np.sin(angle), 0.0])
    return RADIUS * np.cos(np.pi / sides) * normal, normal


def turned(normal: np.ndarray) -> np.ndarray:
    """The quaternion that turns z to `normal`."""
    quat = np.zeros(4)
    mujoco.mju_quatZ2Vec(quat, normal)
    return quat


def pressed(solid: str, vertices: np.ndarray, kind: str, point: np.ndarray, normal: np.ndarray) -> sim.Model:
    """A solid and a round geom, upright on the face of `normal` at `point` of its surface."""
    geom, height = ROUND[kind]
    place = point + (height - DEPTH) * normal
    inertia = '<inertial pos="0 0 0" mass="1" diaginertia="0.01 0.012 0.009"/>'
    spec = mujoco.MjSpec.from_string(
        f"""<mujoco><option timestep="0.002" gravity="0 0 0" ccd_tolerance="1e-12"/>
        <asset><mesh name="solid" vertex="{" ".join(map(repr, vertices.ravel().tolist()))}"/></asset>
        <worldbody>
          <body><freejoint/>{inertia}<geom {solid} friction="0.6"/></body>
          <body pos="{" ".join(map(str, place))}" quat="{" ".join(map(str, turned(normal)))}"><freejoint/>{inertia}
            <geom {geom} friction="0.6"/></body>
        </worldbody></mujoco>"""
    )
    return sim.Model.from_mujoco(tight(spec, mujoco.mjtCone.mjCONE_ELLIPTIC))


def assert_slides_exactly(model: sim.Model, normal: np.ndarray) -> None:
    """Every column of the step's Jacobian equals differences, while the round geom slides along the face."""
    along = np.cross(normal, (0.3, -0.5, 0.8))
    velocity = np.zeros(model.nv)
    velocity[6:9] = 0.4 * along / np.linalg.norm(along) - 0.02 * normal
    state = model.initial_state()._replace(qvel=velocity)
    assert len(sim.forward(model, state, np.zeros(0)).contact.dist) == 1
    jacobian, smooth = sim.step_jacobian(model, state, np.zeros(0)).A, 0
    for column, direction in enumerate(np.eye(2 * model.nv)):
        found = differentiate(step_map(model), (state, np.zeros(0)), direction, h=3e-6)
        if is_smooth(found, 1e-4):
            assert_derivative(jacobian[:, column], found, 1e-5)
            smooth += 1
    assert smooth >= 20


@pytest.mark.parametrize("kind", ROUND)
@pytest.mark.parametrize("sides", [3, 4, 5, 6])
def test_the_middle_of_every_side_of_a_prism(sides: int, kind: str) -> None:
    for number in range(sides):
        point, normal = middle_of_side(sides, number)
        assert_slides_exactly(pressed('type="mesh" mesh="solid"', prism(sides), kind, point, normal), normal)


@pytest.mark.parametrize("kind", ROUND)
@pytest.mark.parametrize("sides", [3, 4, 5, 6])
def test_the_top_of_a_prism(sides: int, kind: str) -> None:
    """Its middle, and points on and beside the line from there to a corner, which a diagonal may lie on."""
    up, corner = np.array([0.0, 0.0, 1.0]), RADIUS * np.array([np.cos(np.pi / sides), np.sin(np.pi / sides), 0.0])
    for part, aside in ((0.0, 0.0), (0.3, 0.0), (0.3, 1e-3)):
        point = HALF * up + part * corner + (0.0, aside, 0.0)
        assert_slides_exactly(pressed('type="mesh" mesh="solid"', prism(sides), kind, point, up), up)


@pytest.mark.parametrize("kind", ROUND)
def test_both_diagonals_of_all_faces_of_a_cube(kind: str) -> None:
    signs = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    for normal in np.vstack([np.eye(3), -np.eye(3)]):
        corners = [HALF * np.array(s) for s in signs if np.dot(s, normal) == 1]
        for point in (HALF * normal, *(0.7 * HALF * normal + 0.3 * corner for corner in corners)):
            model = pressed('type="mesh" mesh="solid"', HALF * np.array(signs, float), kind, point, normal)
            assert_slides_exactly(model, normal)


def test_both_diagonals_of_a_face_of_a_box() -> None:
    """Boxes meet ellipsoids by the same routine as meshes."""
    up = np.array([0.0, 0.0, 1.0])
    for x, y in ((0, 0), (0.03, 0.039), (0.03, -0.039), (0.03, 0.02)):
        model = pressed('type="box" size="0.1 0.13 0.1"', prism(4), "ellipsoid", np.array([x, y, HALF]), up)
        assert_slides_exactly(model, up)


def test_real_edges_and_corners_still_turn_the_normal() -> None:
    """A ball on an edge or a corner rolls over it."""
    signs = HALF * np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    for outward in ((0.0, 1.0, 1.0), (1.0, 0.8, 1.2)):
        normal = np.array(outward) / np.linalg.norm(outward)
        point = HALF * np.sign(outward)
        model = pressed('type="mesh" mesh="solid"', signs, "sphere", point, normal)
        assert_slides_exactly(model, normal)
