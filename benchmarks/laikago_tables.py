"""Memory and time of forward and backward passes: one Laikago stands on a floor, ours beside six others.

    python benchmarks/laikago_tables.py             # measures, writes results/laikago_tables.json
    python benchmarks/laikago_tables.py --table     # prints the stored results as markdown

Tables 1, 2 and 3 of Qiao, Liang, Koltun and Lin (ICML 2021), made again. All sides start from one
settled state with the same targets of the servos (`rivals/standing.py`); the loss is a fixed
cotangent of the last state. Times are processor time, on one thread, asked for in turns; each
figure of memory comes from a process of its own, unless the side takes minutes to start.
"""

import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from measurement import Measurement, Row, cell
from sides import Side, SideError

STEPS = (50, 100, 500, 1000, 5000)
COMPARED_STEPS = 100  # after so many, states and gradients are compared
BLOCKS = 9
BUDGET = 3.0  # seconds of a side at a number of steps, after which no further block begins
FEW = 3  # blocks, of which a median says little; the page names them


@dataclass(frozen=True)
class Contestant:
    """A row of the tables: a side in `rivals/` and what it loads."""

    label: str
    script: str
    choices: dict[str, Any] = field(default_factory=dict)
    compiles: bool = False  # for so long that one process answers all questions about memory


CONTESTANTS = (
    Contestant("gradgym, Newton", "ours"),
    Contestant("MuJoCo, mjd_transitionFD", "mujoco_fd"),
    Contestant("gradgym, PGS", "ours", {"solver": "PGS"}),
    Contestant("gradgym, Newton, a checkpoint every 50 steps", "ours", {"checkpoint_interval": 50}),
    Contestant("gradgym, Newton, feet", "ours", {"feet_only": True}),
    Contestant("PyTorch autograd, Newton, feet", "torch_autograd", {"solver": "Newton"}),
    Contestant("PyTorch autograd, PGS, feet", "torch_autograd", {"solver": "PGS"}),
    Contestant("MJX, feet", "mjx", compiles=True),
    Contestant("MJX, feet, a checkpoint every 50 steps", "mjx", {"checkpoints": True}, compiles=True),
    Contestant("Newton (Warp) tape, feet", "newton_tape"),
)
QUICK = CONTESTANTS[:2]

# Their Tables 1 to 3, on a Xeon W-2123 of 3.6 GHz; [MB], [ms a step].
PAPER: dict[str, dict[str, Sequence[float | None]]] = {
    "memory": {
        "Ours": (0.3, 0.3, 0.7, 1.2, 5.0),
        "CppAD": (16.0, 26.0, 160.0, 320.0, 3100.0),
        "Ceres": (100.0, 200.0, 1100.0, 2700.0, 23600.0),
        "JAX": (200.0, 200.0, 400.0, 700.0, 3000.0),
        "PyTorch": (1200.0, 2400.0, 11700.0, 12400.0, None),
    },
    "forward": {
        "Ours": (0.3, 0.3, 0.2, 0.2, 0.2),
        "CppAD": (2.4, 2.4, 2.3, 2.3, 4.5),
        "ADF": (25.7, 25.5, 25.1, 32.1, 58.4),
        "Ceres": (27.2, 27.5, 27.2, 34.0, 58.2),
        "JAX": (53.3, 46.1, 43.1, 42.7, 42.3),
        "PyTorch": (195.6, 192.2, 199.2, 192.8, None),
    },
    "backward": {
        "Ours": (1.2, 1.1, 1.2, 1.1, 1.2),
        "CppAD": (2.4, 2.3, 2.3, 2.4, 4.8),
        "Ceres": (29.5, 29.6, 29.5, 37.6, 62.8),
        "JAX": (148.1, 125.7, 127.6, 129.6, 126.6),
        "PyTorch": (275.7, 273.3, 280.8, 272.1, None),
    },
}
TITLES = {
    "memory": "Table 1: peak memory of a forward and a backward pass [MB]",
    "forward": "Table 2: forward pass, a step [ms]",
    "backward": "Table 3: backward pass, a step [ms]",
}
SUMMARY_STEPS = (50, 1000, 5000)


def measure(quick: bool) -> list[Row]:
    contestants, sizes = (QUICK, STEPS[:2]) if quick else (CONTESTANTS, STEPS)
    empty = ("memory", "forward", "backward", "blocks")
    rows: list[Row] = [{"side": c.label, **{name: {} for name in empty}} for c in contestants]
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        sides = [stack.enter_context(Side(c.script)) for c in contestants]
        for row, loaded in zip(rows, pool.map(_load, sides, contestants), strict=True):
            row.update(loaded)
        present = [(c, s, r) for c, s, r in zip(contestants, sides, rows, strict=True) if r["missing"] is None]
        _compare(present)
        for size in sizes:
            _time(size, [(side, row) for _, side, row in present])
            for contestant, side, row in present:
                if contestant.compiles:
                    row["memory"][str(size)] = _answer(side, row, "memory", steps=size)
    with ThreadPoolExecutor(2) as pool:  # after all is timed, so that two at once disturb nothing
        fresh = [(c, row, size) for c, _, row in present if not c.compiles for size in sizes]
        for (_, row, size), memory in zip(fresh, pool.map(lambda job: _memory(*job), fresh), strict=True):
            row["memory"][str(size)] = memory
    return rows


def _load(side: Side, contestant: Contestant) -> Row:
    try:
        return {"missing": None, **side.ask("load", **contestant.choices), "about": side.ask("about")}
    except SideError as error:
        return {"missing": str(error)}


def _answer(side: Side, row: Row, function: str, **arguments: Any) -> Any:
    """None where the side fails, and the row then says why."""
    try:
        return side.ask(function, **arguments)
    except SideError as error:
        row["failure"] = str(error)
        return None


def _memory(contestant: Contestant, row: Row, size: int) -> float | None:
    with Side(contestant.script) as side:
        _answer(side, row, "load", **contestant.choices)
        return _answer(side, row, "memory", steps=size)


def _compare(present: list[tuple[Contestant, Side, Row]]) -> None:
    """Into each row: the trunk's height, and how far state and gradient are from the first side's."""
    first: dict[str, Any] = {}
    for _, side, row in present:
        end = _answer(side, row, "end", steps=COMPARED_STEPS)
        if end is None:
            continue
        first = first or end
        row["height"] = end["qpos"][2]
        row["position_difference"] = float(np.abs(np.subtract(end["qpos"], first["qpos"])).max())
        if "gradient" in end:
            difference = np.linalg.norm(np.subtract(end["gradient"], first["gradient"]))
            row["gradient_difference"] = float(difference / np.linalg.norm(first["gradient"]))


def _time(size: int, asked: list[tuple[Side, Row]]) -> None:
    """Medians over blocks, the sides in turns; [ms a step], and how many blocks."""
    blocks: list[list[dict[str, float]]] = [[] for _ in asked]
    for _ in range(BLOCKS):
        for (side, row), found in zip(asked, blocks, strict=True):
            if size * sum(sum(block.values()) for block in found) > BUDGET:
                continue
            block = None if row.get("failure") else _answer(side, row, "run", steps=size)
            if block is not None:
                found.append(block)
    for (_, row), found in zip(asked, blocks, strict=True):
        row["blocks"][str(size)] = len(found)
        for name in ("forward", "backward"):
            median = 1e3 * statistics.median(block[name] for block in found) if found else None
            row[name][str(size)] = median


def _lines(name: str, rows: list[Row], sizes: Sequence[int]) -> Iterator[str]:
    for row in rows:
        yield _line(row["side"], [row[name].get(str(size)) for size in sizes], not row["missing"])
    for side, values in PAPER[name].items():
        yield _line(f"paper: {side}", [values[STEPS.index(size)] for size in sizes], True)


def _line(label: str, values: Sequence[float | None], measured: bool) -> str:
    return f"| {label} | " + " | ".join(_figure(v) if v is not None or measured else "" for v in values) + " |"


def _figure(value: float | None) -> str:
    """Two digits; a dash where the side cannot."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def _sizes(rows: list[Row]) -> list[int]:
    return [size for size in STEPS if any(str(size) in row["forward"] for row in rows)]


def table(rows: list[Row]) -> str:
    sizes, parts = _sizes(rows), []
    for name, title in TITLES.items():
        head = f"| steps | {' | '.join(f'{size:,}' for size in sizes)} |\n|---|{'---|' * len(sizes)}"
        parts.append("\n".join([f"{title}:", "", head, *_lines(name, rows, sizes)]))
    return "\n\n".join(parts)


def summary(rows: list[Row]) -> str:
    """All three in one, for fewer numbers of steps."""
    sizes = [size for size in SUMMARY_STEPS if size in _sizes(rows)]
    last = [sizes[min(1, len(sizes) - 1)]]
    columns = [*(f"MB, {size:,} steps" for size in sizes), f"forward [ms a step], {last[0]:,} steps"]
    columns.append(f"backward [ms a step], {last[0]:,} steps")
    lines = [f"|  | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for row in rows:
        values = [row["memory"].get(str(size)) for size in sizes]
        values += [row[name].get(str(size)) for name in ("forward", "backward") for size in last]
        lines.append(_line(row["side"], values, not row["missing"]))
    for side in ("Ours", "CppAD", "JAX", "PyTorch"):
        values = [PAPER["memory"][side][STEPS.index(size)] for size in sizes]
        values += [PAPER[name][side][STEPS.index(size)] for name in ("forward", "backward") for size in last]
        lines.append(_line(f"paper: {side}", values, True))
    return "\n".join(lines)


def notes(rows: list[Row]) -> str:
    def differs(row: Row) -> str:
        gradient = row.get("gradient_difference")
        return "" if gradient is None else f"{gradient:.1g}"

    lines = [
        f"After {COMPARED_STEPS} steps, as a check that all simulate the same: the trunk's height, the largest "
        "difference of a position and the relative difference of the gradient by the first state from the first row's.",
        "",
        "| | height [m] | position | gradient | workspace [MB] | computes |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row["missing"]:
            lines.append(f"| {row['side']} | | | | | not measured here: {row['missing']} |")
            continue
        compiled = f"; compiles {row['compile']:.0f} s, not in the times" if row.get("compile", 0.0) > 1.0 else ""
        failure = f"; failed: {row['failure']}" if row.get("failure") else ""
        height, position = row.get("height"), row.get("position_difference")
        cells = ("", "") if height is None else (f"{height:.5f}", f"{position:.1g}")
        cells = (*cells, differs(row), cell(row.get("workspace")))
        lines.append(f"| {row['side']} | {' | '.join(cells)} | {row.get('about', '')}{compiled}{failure} |")
    return "\n".join([*lines, "", _least(rows), "", _few_blocks(rows), "", _NOTES])


def _least(rows: list[Row]) -> str:
    """Who needs the least memory, at each number of steps."""
    winners: dict[str, list[int]] = {}
    for size in _sizes(rows):
        found = [(row["memory"][str(size)], row["side"]) for row in rows if row["memory"].get(str(size)) is not None]
        if found:
            winners.setdefault(min(found)[1], []).append(size)
    return (
        "The least memory: "
        + "; ".join(f"{', '.join(f'{size:,}' for size in sizes)} steps {side}" for side, sizes in winners.items())
        + "."
    )


def _few_blocks(rows: list[Row]) -> str:
    """Which times are medians of few."""
    few: list[str] = []
    for row in rows:
        sizes = [size for size in _sizes(rows) if 0 < row["blocks"].get(str(size), 0) < FEW]
        if sizes:
            counts = ", ".join(f"{row['blocks'][str(size)]} at {size:,} steps" for size in sizes)
            few.append(f"{row['side']}, {counts}")
    text = f"Times are medians of {BLOCKS} blocks, of fewer where a side has taken {BUDGET:g} s at a number of steps"
    return f"{text}; fewer than {FEW} blocks: {'; '.join(few)}." if few else f"{text}."


_NOTES = """\
Memory (MB are 10^6 bytes) is by how much the resident memory of a process grows in a forward and a backward pass, \
inputs and gradients by all controls included. Left out is what exists before, however many steps follow: the \
workspace of one step, in the table above for ours (its adjoint's included) and for MuJoCo (an mjData; its two \
Jacobians of a step, 14 kB, are in its memory), for the others libraries and compiled programs, which are not \
measured. The paper does not say whether a workspace is in its figures. MuJoCo keeps the states, as ours does with a \
checkpoint each step, but is not given a cotangent of every state kept. These are zeros but for the last, and count as \
far as the system gives memory to zeros, which in long arrays it does not. What MuJoCo saves in derivatives it pays in \
time: on the way back 49 simulations of each step, one for each component of state and control. MJX in one piece and \
the tapes keep all intermediate values of every step.

The forward pass of MJX in one piece and of the tapes includes keeping what the backward pass needs; that of MJX with \
checkpoints is the simulation alone, and its backward pass simulates again, as ours and MuJoCo's do. MJX and Newton \
are made for thousands of robots at once on a GPU; here is one robot on one thread of a processor, which is what a \
trajectory optimiser or an estimator asks for. MJX runs as a chain of compiled calls of 50 steps; compiled as one \
call, forward and back together took about as long in a trial that is not stored, but each length has to be compiled.

The gradient by the tape of Newton's Featherstone solver agrees with central differences for one step, and no longer \
after two (trials that are not stored), as if steps overwrote what the tape needs of earlier ones; its figures are \
those of the work it does. Of the tools that the paper compares, PyTorch and JAX (as MJX) are here with programs of \
our time; its machine was another one, and PyTorch's program there another one too."""

MEASUREMENT = Measurement(
    name="laikago_tables",
    title="One Laikago on a floor: memory and time",
    shows="what a forward and a backward pass through 50 to 5,000 steps of one standing Laikago cost, beside MuJoCo, "
    "MJX, Newton and PyTorch.",
    leaves_out="many robots at once or a GPU, for which MJX and Newton are made, and motions with impacts, where the "
    "solvers of MuJoCo and ours iterate more often.",
    measure=measure,
    table=table,
    summary=summary,
    notes=notes,
    rivals=("jax", "mujoco-mjx", "newton", "warp-lang"),
)

if __name__ == "__main__":
    sys.exit(MEASUREMENT.main())
