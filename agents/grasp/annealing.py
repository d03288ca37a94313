"""Grasps of an object by simulated annealing, to compare the descent with: no derivatives, the same 6 + 18 numbers.

After GraspIt: Miller and Allen, "GraspIt! A versatile simulator for robotic grasping" (2004), and the annealing of
Ciocarlie and Allen, "Hand posture subspaces for dexterous robotic grasping" (2009), here over all joints. Starts,
ranges, contacts and the exact Q1 are the descent's; the schedule of temperature is geometric.
"""

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from .contacts import OPPOSED, TOUCHING, measure, thinned
from .grasps import Grasps
from .hand import Hand, Links, quaternion_matrix
from .link_depths import ObjectInHand, SelfCollision
from .object_mesh import ObjectMesh
from .q1 import q1, q1_upper
from .starts import quaternions, start_poses

Floats = NDArray[np.float64]

_TOLERANCE = 0.03  # of Q1 while annealing
_DIRECTIONS = 256  # of its upper bound


@dataclass(frozen=True)
class AnnealSettings:
    """Of `anneal`.

    Attributes:
        friction: µ of the metric.
        temperature: first and last, of an energy in which Q1 counts once.
        step: standard deviations at the beginning, of the hand's middle [m], its turn [rad] and its joints [ranges].
        narrowing: what the steps are multiplied by at the end.
        changed: probability of each number to be changed in a step.
        starts: of which those of the least energy begin.
        samples: of the hand's surface that may touch or be inside.
        depth: energy of a metre of penetration, and of self-penetration.
    """

    friction: float = 0.7
    temperature: tuple[float, float] = (0.1, 0.002)
    step: tuple[float, float, float] = (0.01, 0.2, 0.15)
    narrowing: float = 0.1
    changed: float = 0.3
    starts: int = 48
    samples: int = 1000
    depth: float = 100.0


class _State(NamedTuple):
    """Of n chains."""

    center: Floats  # (n, 3) of the middle of the hand [m]
    rotation: Floats  # (n, 3, 3)
    joints: Floats  # (n, J) [rad]

    def take(self, which: NDArray[np.bool_], other: "_State") -> None:
        """Where `which` (n,) says so, becomes the other."""
        for mine, its in zip(self, other, strict=True):
            mine[which] = its[which]

    def pose(self, hand: Hand) -> Floats:
        """Of the root, (n, 7)."""
        return np.concatenate([self.center - self.rotation @ hand.surface.center, quaternions(self.rotation)], axis=1)


def anneal(
    mesh: ObjectMesh,
    hand: Hand,
    num_grasps: int = 16,
    seed: int = 0,
    seconds: float = 20.0,
    steps: int | None = None,
    settings: AnnealSettings | None = None,
    progress: bool = True,
) -> Grasps:
    """Plans grasps of an object by one chain each, best first.

    Each ends at the least energy that its chain passed: see `Energy`. The temperature goes from the
    first to the last in equal ratios, and the steps narrow with it.

    Args:
        mesh: the object.
        hand: that grasps it.
        num_grasps: how many chains.
        seed: of starts, steps and acceptance.
        seconds: of wall-clock time, set-up included; measuring the result (some 30 ms a grasp) comes on top.
        steps: of each chain, instead of `seconds`: the result is then the same each time.
        settings: of the annealing.
        progress: whether a bar is shown.

    Raises:
        ValueError: no grasps, no time or no steps are asked for.
    """
    begun = time.perf_counter()
    for name, value in (("num_grasps", num_grasps), ("seconds", seconds), ("steps", 1 if steps is None else steps)):
        if value <= 0:
            raise ValueError(f"{name}={value}: must be positive")
    s = AnnealSettings() if settings is None else settings
    rng = np.random.default_rng(seed)
    state, energy = _begin(mesh, hand, num_grasps, seed, s, rng)
    of = Energy(mesh, hand, s, num_grasps)
    best, least = _State(*(x.copy() for x in state)), energy.copy()
    with tqdm(
        total=1.0, desc="annealing", leave=False, disable=not progress, bar_format="{desc} {percentage:.0f}%"
    ) as bar:
        taken, done = 0, 0.0
        while done < 1.0:
            temperature = s.temperature[0] * (s.temperature[1] / s.temperature[0]) ** done
            tried = _neighbour(state, hand, s, s.narrowing**done, rng)
            most = energy - temperature * np.log(rng.uniform(size=num_grasps))
            found = of(tried, most)
            accepted = found < most
            state.take(accepted, tried)
            energy = np.where(accepted, found, energy)
            best.take(energy < least, state)
            least = np.minimum(energy, least)
            taken += 1
            before, done = done, (time.perf_counter() - begun) / seconds if steps is None else taken / steps
            bar.update(min(done, 1.0) - before)
    grasps = measure(mesh, hand, best.pose(hand), best.joints, s.friction)
    return grasps[np.argsort(s.depth * (grasps.penetration + grasps.self_penetration) - grasps.q1)]


def _begin(
    mesh: ObjectMesh, hand: Hand, n: int, seed: int, s: AnnealSettings, rng: np.random.Generator
) -> tuple[_State, Floats]:
    """The starts of the least energy, and their energies."""
    count = max(s.starts, n)
    pose, joints = start_poses(*mesh.sample(count, seed), hand, rng)
    rotation = quaternion_matrix(torch.from_numpy(pose[:, 3:])).numpy()
    state = _State(pose[:, :3] + rotation @ hand.surface.center, rotation, joints)
    energy = Energy(mesh, hand, s, count)(state, np.full(count, np.inf))
    chosen = np.argsort(energy)[:n]
    return _State(*(x[chosen] for x in state)), energy[chosen]


def _neighbour(state: _State, hand: Hand, s: AnnealSettings, narrowing: float, rng: np.random.Generator) -> _State:
    """States near by; joints are reflected at the ends of their ranges."""
    n, j = state.joints.shape
    moves = narrowing * rng.standard_normal((n, 6 + j)) * (rng.uniform(size=(n, 6 + j)) < s.changed)
    turn = Rotation.from_rotvec(s.step[1] * moves[:, 3:6]).as_matrix()
    joints = state.joints + s.step[2] * (hand.upper - hand.lower) * moves[:, 6:]
    joints = hand.lower + np.abs(joints - hand.lower)
    joints = hand.upper - np.abs(hand.upper - joints)
    return _State(state.center + s.step[0] * moves[:, :3], turn @ state.rotation, joints.clip(hand.lower, hand.upper))


class Energy:
    """Of n grasps: -Q1, or a contact energy where it is zero, and penalties of both penetrations.

    The contact energy is GraspIt's in kind: the mean over the candidates of contact of their distance [cm] and of half
    of 1 + cos of the angle between the two normals, which is zero where all candidates touch and oppose the surface.
    """

    def __init__(self, mesh: ObjectMesh, hand: Hand, settings: AnnealSettings, n: int) -> None:
        surface, samples = hand.surface, settings.samples
        self.mesh, self.hand, self.settings = mesh, hand, settings
        self.body, self.position = surface.body[:samples], surface.position[:samples]
        self.normal = surface.normal[:samples]
        self.candidates = tuple(
            torch.from_numpy(x[surface.candidates]) for x in (surface.body, surface.position, surface.normal)
        )
        self.self_collision, self.object_in_hand = SelfCollision(hand, samples), ObjectInHand(mesh, hand, samples)
        # What was outside by more than it has moved since is not asked again.
        self.start = np.zeros((n, samples), np.int64)
        self.distance, self.asked = np.full((n, samples), -np.inf), np.zeros((n, samples, 3))

    def __call__(self, state: _State, most: Floats) -> Floats:
        """Energies (n,); where they are no less than `most` (n,), a lower bound of them that is no less either."""
        pose, joints = torch.from_numpy(state.pose(self.hand)), torch.from_numpy(state.joints)
        links = self.hand.links(pose, joints)
        depth, found = self._contacts(links)
        depth = np.maximum(depth, self.object_in_hand.deepest(links)) + self.self_collision.deepest(links)
        penalty = self.settings.depth * depth
        mu, m = self.settings.friction, self.mesh.radius**-2
        energy, open_ = penalty - _upper(found, mu, m), np.zeros(len(penalty), bool)
        for i, (points, normals) in enumerate(found):
            if energy[i] < most[i]:
                quality = q1(points, normals, mu, m, tolerance=_TOLERANCE) if energy[i] < penalty[i] else 0.0
                energy[i], open_[i] = penalty[i] - quality, quality == 0.0
        if open_.any():
            energy[open_] += self._contact_energy(Links(links.position[open_], links.rotation[open_]))
        return energy

    def _contacts(self, links: Links) -> tuple[Floats, list[tuple[Floats, Floats]]]:
        """How deep the hand's samples are inside (n,) [m], and each grasp's contacts, from the centre of mass."""
        points = links.points(torch.from_numpy(self.body), torch.from_numpy(self.position)).numpy()
        near = self.distance - np.linalg.norm(points - self.asked, axis=-1) < TOUCHING
        p, start = points[near], self.start[near]
        closest = self.mesh.closest(p, start)
        self.start[near], self.distance[near], self.asked[near] = closest.face, closest.distance, p
        able = np.flatnonzero(np.abs(closest.distance) < TOUCHING)
        grasp, sample = np.nonzero(near)
        rotation = links.rotation.numpy()[grasp[able], self.body[sample[able]]]
        outward = (rotation @ self.normal[sample[able], :, None]).squeeze(-1)
        able = able[(closest.normal[able] * outward).sum(axis=1) < -OPPOSED]
        able = able[np.abs(closest.distance[able]).argsort()]
        depth = np.zeros(len(points))
        np.maximum.at(depth, grasp, -closest.distance)
        contacts: list[tuple[Floats, Floats]] = []
        for i in range(len(points)):
            own = able[grasp[able] == i]
            own = own[thinned(closest.point[own])]
            contacts.append((closest.point[own] - self.mesh.center_of_mass, -closest.normal[own]))
        return depth, contacts

    def _contact_energy(self, links: Links) -> Floats:
        """(n,) of the candidates."""
        body, position, normal = self.candidates
        closest = self.mesh.closest(links.points(body, position).numpy())
        cosine = (closest.normal * links.vectors(body, normal).numpy()).sum(axis=-1)
        return (100.0 * np.abs(closest.distance) + 0.5 * (1.0 + cosine)).mean(axis=-1)


def _upper(contacts: list[tuple[Floats, Floats]], friction: float, torque_weight: float) -> Floats:
    """Upper bounds of Q1 (n,), of which most proposals need no more."""
    count = max(1, *(len(points) for points, _ in contacts))
    padded, weights = np.zeros((2, len(contacts), count, 3)), np.zeros((len(contacts), count))
    padded[1, ..., 2] = 1.0
    for i, (points, normals) in enumerate(contacts):
        padded[0, i, : len(points)], padded[1, i, : len(points)], weights[i, : len(points)] = points, normals, 1.0
    points, normals, w = (torch.from_numpy(x) for x in (*padded, weights))
    return q1_upper(points, normals, w, friction, torque_weight, _DIRECTIONS).numpy()
