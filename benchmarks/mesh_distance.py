"""Queries a CPU second of the mesh distance on meshes of some 10,000 faces, and of libigl where it is installed.

    python benchmarks/mesh_distance.py              # measures, prints markdown

Each point has moved by half a millimetre since it was asked first; "warm" begins at the face that was found then.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from trainings import table_line

from gradgym.agents.grasp import ObjectMesh

Array = NDArray[Any]

COLUMNS = ("cold", "warm", "warm with gradient", "libigl's tree, no sign", "libigl's pseudonormal")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--reach", type=float, default=0.02, help="greatest distance from the surface [m]")
    parser.add_argument("--move", type=float, default=0.0005, help="of each point between two queries [m]")
    parser.add_argument("--repeats", type=int, default=15, help="of which the fastest counts")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    print(table_line(["mesh", "faces", "made in ms", "points", *COLUMNS]))
    print("|---|---|---|---|" + "---|" * len(COLUMNS))
    for name, shape in objects().items():
        rng = np.random.default_rng(0)
        shape.vertices += rng.normal(0.0, 1e-5, shape.vertices.shape)
        begin = time.process_time()
        mesh = ObjectMesh.from_trimesh(shape)
        made = time.process_time() - begin
        for side, least in (("outside", 0.0), ("both sides", -arguments.reach)):
            surface, normals = mesh.sample(arguments.points, seed=1)
            points = surface + rng.uniform(least, arguments.reach, (arguments.points, 1)) * normals
            moves = rng.normal(size=points.shape)
            moved = points + arguments.move * moves / np.linalg.norm(moves, axis=1, keepdims=True)
            rates = {k: f"{len(points) / s:,.0f}" for k, s in seconds(mesh, points, moved, arguments.repeats).items()}
            cells = (rates.get(column, "") for column in COLUMNS)
            print(table_line([name, len(mesh.faces), f"{1e3 * made:.0f}", side, *cells]))
    return 0


def objects() -> dict[str, trimesh.Trimesh]:
    torus = trimesh.creation.torus(0.04, 0.015, major_sections=84, minor_sections=60)
    box = trimesh.creation.box((0.06, 0.08, 0.1))
    for _ in range(5):
        box = box.subdivide()
    sphere = trimesh.creation.uv_sphere(0.04, count=(52, 50))
    return {"torus": torus, "box": box, "sphere": sphere}


def seconds(mesh: ObjectMesh, points: Array, moved: Array, repeats: int) -> dict[str, float]:
    """Of all points at once, by column; libigl must agree."""
    start = mesh.closest(points).face
    x = torch.from_numpy(moved).requires_grad_()

    def gradient() -> None:
        distance, normal = mesh.signed_distance(x, start.copy())
        torch.autograd.grad(distance.sum() + normal[:, 0].sum(), x)

    calls: list[Callable[[], Any]] = [lambda: mesh.closest(moved), lambda: mesh.closest(moved, start), gradient]
    try:
        import igl
    except ImportError:
        pass
    else:
        v, f, kind = mesh.vertices, mesh.faces, igl.SIGNED_DISTANCE_TYPE_PSEUDONORMAL
        tree = igl.AABB()
        tree.init(v, f)
        calls.append(lambda: tree.squared_distance(v, f, moved))
        calls.append(lambda: igl.signed_distance(moved, v, f, sign_type=kind))
        distance: Any = igl.signed_distance(moved, v, f, sign_type=kind)[0]
        np.testing.assert_allclose(distance, mesh.closest(moved).distance, atol=1e-14)
    return {column: best_of(repeats, call) for column, call in zip(COLUMNS, calls, strict=False)}


def best_of(repeats: int, call: Callable[[], Any]) -> float:
    """Least CPU seconds of a call."""
    found: list[float] = []
    for _ in range(repeats):
        begin = time.process_time()
        call()
        found.append(time.process_time() - begin)
    return min(found)


if __name__ == "__main__":
    sys.exit(main())
