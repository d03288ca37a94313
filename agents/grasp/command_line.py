"""Grasps of a mesh from the command line: planned, tried in physics, as a table, a file and a picture.

gradgym-grasp plan mug.obj --hand shadow --num-grasps 16

`network_commands` has those of the network.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .grasps import Grasps
from .hand import Hand
from .judge import Report, validate
from .network_commands import add_commands, make_data, train_network
from .object_mesh import ObjectMesh
from .pictures import picture
from .planner import plan


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gradgym-grasp", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    planning = commands.add_parser("plan", help="plan grasps and try them")
    planning.add_argument("--num-grasps", type=int, default=16)
    planning.add_argument("--seed", type=int, default=0)
    trying = commands.add_parser("validate", help="try the grasps of a file that `plan` wrote")
    trying.add_argument("--grasps", type=Path, required=True, metavar="FILE.npz")
    for command in (planning, trying):
        command.add_argument("mesh", type=Path, metavar="MESH", help="a closed mesh, OBJ, STL, PLY, ...")
        command.add_argument("--scale", type=float, default=1.0, help="from the file's unit to metres")
        command.add_argument("--hand", default="shadow", metavar="shadow|FILE.xml", help="the hand's MJCF")
        command.add_argument("--backend", choices=["mujoco", "sim"], default="mujoco", help="in which they are tried")
        command.add_argument("--out-dir", type=Path, default=Path(), help="for grasps and picture")
        command.add_argument("--no-picture", action="store_true", help="where there is no OpenGL")
    add_commands(commands)
    return parser


def _table(grasps: Grasps, report: Report, title: str) -> Table:
    table = Table(title=title)
    for name in ("grasp", "Q1", "inside object, mm", "inside itself, mm", "in physics"):
        table.add_column(name, justify="left" if name == "in physics" else "right")
    for i, reason in enumerate(report.reasons):
        depths = (1e3 * grasps.penetration[i], 1e3 * grasps.self_penetration[i])
        table.add_row(str(i), f"{grasps.q1[i]:.3f}", *(f"{depth:.1f}" for depth in depths), reason)
    return table


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        hand = Hand.shadow() if arguments.hand == "shadow" else Hand.from_xml_path(arguments.hand)
        if arguments.command in ("data", "train"):
            (make_data if arguments.command == "data" else train_network)(arguments, hand)
            return 0
        stem = arguments.out_dir / arguments.mesh.stem
        mesh = ObjectMesh.load(arguments.mesh, arguments.scale)
        if arguments.command == "plan":
            grasps = plan(mesh, hand, arguments.num_grasps, arguments.seed)
            arguments.out_dir.mkdir(parents=True, exist_ok=True)
            grasps.save(Path(f"{stem}_grasps.npz"))
        else:
            grasps = Grasps.load(arguments.grasps)
        report = validate(mesh, hand, grasps, arguments.backend)
    except (ValueError, ImportError, OSError) as error:
        print(f"gradgym-grasp: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gradgym-grasp: interrupted; the same command goes on with data and trainings", file=sys.stderr)
        return 130
    held = grasps[report.held]
    print_to = Console()
    print_to.print(_table(grasps, report, f"{arguments.mesh.name}: {len(held)} of {len(grasps)} held"))
    if arguments.command == "plan":
        print_to.print(f"grasps: {stem}_grasps.npz", highlight=False)
    if len(held) and not arguments.no_picture:
        arguments.out_dir.mkdir(parents=True, exist_ok=True)
        picture(mesh, hand, held, f"{stem}_grasps.png")
        print_to.print(f"those that held: {stem}_grasps.png", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
