"""Objects of other packages that fit a hand, for `grasp_planning.py --meshes`: closed meshes at their MJCF's scale.

    pip download --no-deps robosuite==1.5.2 metaworld==3.1.1   # wheels are zip files, to be unpacked
    python benchmarks/packaged_meshes.py OUT robosuite/models/assets/objects metaworld/assets/objects

Writes a copy in metres of every mesh that MJCF in the given folders names and that is one closed body of a hand's
size, as a PLY file of the same name, and says why the others are left out. MuJoCo's old format .msh is read from the
OBJ or STL of the same name beside it.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import trimesh

from gradgym.agents.grasp import ObjectMesh
from gradgym.agents.grasp.objects import EXTENT, THICKNESS

FORMATS = (".obj", ".stl", ".ply")


def named_meshes(folder: Path) -> Iterator[tuple[Path, tuple[float, ...]]]:
    """File and scale of each mesh that an MJCF in the folder names, once."""
    seen = set()
    for xml in sorted(folder.rglob("*.xml")):
        try:
            root = ElementTree.parse(xml).getroot()
        except ElementTree.ParseError:
            continue  # parts of files, which others include
        for element in root.iter("mesh"):
            name, scale = element.get("file"), tuple(map(float, (element.get("scale") or "1 1 1").split()))
            file = None if name is None else _found(xml, name)
            if file is not None and (file, scale) not in seen:
                seen.add((file, scale))
                yield file, scale


def _found(xml: Path, name: str) -> Path | None:
    """A readable file: beside the MJCF, or, as it may be included from another folder, under one of those above."""
    inner = Path(*(part for part in Path(name).parts if part != ".."))
    places = [xml.parent / name, *(folder / inner for folder in xml.parents)]
    for place in places:
        for suffix in dict.fromkeys((place.suffix.lower(), *FORMATS)):
            if suffix in FORMATS and (file := place.with_suffix(suffix)).is_file():
                return file.resolve()
    return None


def scaled(file: Path, scale: tuple[float, ...]) -> trimesh.Trimesh:
    """A mesh in metres; ValueError in one line if it is not one closed body of a hand's size."""
    mesh = trimesh.load_scene(file, process=False).to_mesh()
    mesh.apply_scale(scale)
    found = ObjectMesh.from_trimesh(mesh, name=file.name).to_trimesh()
    sides = np.sort(found.extents)
    for side, (least, most) in ((sides[2], EXTENT), (sides[0], THICKNESS)):
        if not least <= side <= most:
            raise ValueError(f"{file.name}: a side of {100.0 * side:.1f} cm, {least:.3f} to {most:.3f} m fit a hand")
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="folder that the meshes are written to")
    parser.add_argument("folders", type=Path, nargs="+", help="folders of MJCF, of packages installed or unpacked")
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for folder in arguments.folders:
        for file, scale in named_meshes(folder):
            try:
                mesh = scaled(file, scale)
            except ValueError as error:
                print(f"left out: {error}", file=sys.stderr)
                continue
            mesh.export(arguments.out / f"{file.stem}.ply")
            print(f"{file.stem}: {len(mesh.faces)} faces, {(100.0 * mesh.extents).round(1)} cm")
    return 0


if __name__ == "__main__":
    sys.exit(main())
