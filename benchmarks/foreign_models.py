"""Which model files that others wrote the simulator loads, and what blocks the others.

    python benchmarks/foreign_models.py FOLDER [FOLDER ...] [--refused LIST]

Looks at every .xml below the folders that MuJoCo compiles and that can move; files that compile to the
same model count once. Prints how many load, and for each kind of element that is refused in how many
models it is, and in how many it is the only kind. `--refused` keeps the names of the refused ones in a
file; given one that exists, says how many of those load now.
"""

import argparse
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np
from rich.progress import track

from gradgym import sim


class Found(NamedTuple):
    """A model file: its name below the folder, and the kinds of elements that are refused in it."""

    name: str
    kinds: tuple[str, ...]


def kinds_of(error: sim.UnsupportedModelError) -> tuple[str, ...]:
    """Without the names of elements and the advice."""
    return tuple(sorted({re.sub(r"\s*\{\}\s*:?\s*", " ", kind.text).strip() for kind in error.kinds}))


def moving_models(folders: Sequence[Path]) -> Iterator[tuple[str, mujoco.MjModel]]:
    """Files that compile and have degrees of freedom, each compiled model once."""
    seen = set[bytes]()
    files = [(folder, file) for folder in folders for file in sorted(folder.rglob("*.xml"))]
    for folder, file in track(files, "models"):
        try:
            model = mujoco.MjModel.from_xml_path(str(file))
        except (ValueError, mujoco.FatalError):
            continue  # parts of other files, mostly
        if model.nv == 0:
            continue
        buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
        mujoco.mj_saveModel(model, None, buffer)
        digest = hashlib.sha256(buffer.tobytes()).digest()
        if digest not in seen:
            seen.add(digest)
            yield f"{folder.name}/{file.relative_to(folder)}", model


def look(name: str, model: mujoco.MjModel) -> Found:
    """Load a model."""
    try:
        sim.Model.from_mujoco(model)
    except sim.UnsupportedModelError as error:
        return Found(name, kinds_of(error))
    return Found(name, ())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--refused", type=Path, help="file of the names of those that are refused, one a line")
    arguments = parser.parse_args()
    found = [look(*one) for one in moving_models(arguments.folders)]
    refused = [one for one in found if one.kinds]
    print(f"{len(found)} models, {len(found) - len(refused)} load, {len(refused)} are refused")
    anywhere = Counter(kind for one in refused for kind in one.kinds)
    alone = Counter(one.kinds[0] for one in refused if len(one.kinds) == 1)
    for kind, count in anywhere.most_common():
        print(f"{count:5d} ({alone[kind]:d})  {kind}")
    if arguments.refused and arguments.refused.exists():
        before = set(arguments.refused.read_text().split("\n"))
        now = [one for one in found if one.name in before]
        print(f"of {len(now)} that were refused {sum(not one.kinds for one in now)} load")
    elif arguments.refused:
        arguments.refused.write_text("\n".join(one.name for one in refused))


if __name__ == "__main__":
    main()
