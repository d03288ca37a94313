"""The few tables in README itself: three numbers, the environments with what was reached, results with links."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import contact_speed
import control_figure6
import gradient_accuracy
import grasp_planning
import laikago_tables
import locomotion_clock
import manipulation_trainings
import numpy as np
import pendulum_bptt
import pendulum_table4
import pretrained
import target_trainings
import vector_throughput
from trainings import Row, table_line


def _means(values: Iterable[Any]) -> float:
    return float(np.mean(list(values)))


def _one(rows: list[Row], **wanted: Any) -> Row:
    """The only row with these entries; ValueError if there is another number of them."""
    (found,) = _all(rows, **wanted)
    return found


def _all(rows: list[Row], **wanted: Any) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def why() -> str:
    """Three numbers: what a backward pass costs, how exact it is, what it is good for."""
    costs = laikago_tables.MEASUREMENT.rows()
    ours, differences = (
        1e3 * _one(costs, side=side)["backward"]["1000"] for side in ("gradgym, Newton", "MuJoCo, mjd_transitionFD")
    )
    standing = _one(gradient_accuracy.MEASUREMENT.rows(), case="Ant standing", quantity="gradient of 50 steps")
    error = max(standing["ours"], standing["uncertainty"])
    forward = standing["differences"]["forward"][gradient_accuracy.EPSILONS.index(1e-6)]
    clock = locomotion_clock.BENCHMARK.rows()
    minute = {
        method: _means(locomotion_clock.at_minutes(row, 1) for row in _all(clock, env="Ant", method=method))
        for method in ("shac", "ppo", "sac")
    }
    return "\n".join(
        [
            f"- **{ours:.0f} µs** for the backward pass of a step of a quadruped on the ground; "
            f"MuJoCo's finite differences take {differences:.0f} ([memory and time](docs/results/simulator.md)).",
            f"- **{error:.0e}** is the relative error, at most, of the gradient of 50 steps of a standing Ant; "
            f"forward differences have {forward:.0e} "
            "([exactness](docs/results/simulator.md#how-wrong-gradients-are)).",
            f"- **{minute['shac']:,.0f}** is the Ant's return after one minute of one core with SHAC; "
            f"PPO has {minute['ppo']:,.0f}, SAC {minute['sac']:,.0f} ([by minutes](docs/results/locomotion.md)).",
        ]
    )


def _robot(name: str) -> str:
    rows = _all(locomotion_clock.BENCHMARK.rows(), env=name, method="shac")
    return f"return {max(row['gymnasium_mean'] for row in rows):,.0f}"


def _packaged(name: str) -> str:
    """Of the package's policy, where it is trained."""
    row = pretrained.chosen(pretrained.BENCHMARK.rows()).get(name)
    return "" if row is None else f"return {row['returns']['gymnasium']['mean']:,.0f}"


def _pendulum() -> str:
    best = max(row["max_return"] for row in pendulum_bptt.BENCHMARK.rows() if row["n"] == 7)
    return f"7 links: {best:.2f} of 24.5"


def _distance(name: str) -> str:
    rows = _all(target_trainings.BENCHMARK.rows(), env=name)
    return f"{1e3 * min(row['mujoco']['distance'] for row in rows):.1f} mm off"


def _success(task: str) -> str:
    rows = _all(manipulation_trainings.BENCHMARK.rows(), task=task, method="consistency")
    return f"{100 * _means(row['mujoco'] for row in rows):.0f} % succeed"


# By name: its page, and what its best policies reach.
_ENVIRONMENTS: dict[str, tuple[str, Callable[[], str]]] = {
    "NLinkPendulum": ("n_link_pendulum", _pendulum),
    "Ant": ("ant", lambda: _robot("Ant")),
    "HalfCheetah": ("half_cheetah", lambda: _robot("HalfCheetah")),
    "Hopper": ("hopper", lambda: _packaged("Hopper")),
    "Walker2d": ("walker2d", lambda: _packaged("Walker2d")),
    "Racecar": ("racecar", lambda: _distance("Racecar")),
    "BallThrow": ("ball_throw", lambda: _distance("BallThrow")),
    "Golf": ("golf", lambda: _distance("Golf")),
    "CubeReorient": ("cube_reorient", lambda: _success("two_fingers")),
    "ShadowHandGrasp": ("shadow_hand_grasp", lambda: _success("grasp")),
    "WheelTurn": ("wheel_turn", lambda: _success("wheel")),
    "PlanarPushing": ("planar_pushing", str),
}
_COLUMNS = 4


def environments() -> str:
    """A picture of each, its page, and its best result."""
    cells = []
    for name, (page, reached) in _ENVIRONMENTS.items():
        link = f"[{name}](docs/environments/{page}.md)"
        cells.append(f"![{name}](docs/environments/{name}.webp)<br>" + "<br>".join(filter(None, (link, reached()))))
    rows = [table_line(cells[i : i + _COLUMNS]) for i in range(0, len(cells), _COLUMNS)]
    return "\n".join([table_line([" "] * _COLUMNS), "|" + ":-:|" * _COLUMNS, *rows])


def _range(values: Iterable[float], form: str) -> str:
    low, high = (format(extreme(values), form) for extreme in (min, max))
    return low if low == high else f"{low} to {high}"


def results() -> str:
    """One line a subject."""
    contact = json.loads(contact_speed.RESULTS.read_text())["rows"]
    many = _one(json.loads(vector_throughput.RESULTS.read_text())["rows"], num_envs=64)
    table4 = _all(pendulum_table4.BENCHMARK.rows(), n=5)
    links = {m: _means(r["max_return"] for r in table4 if r["method"] == m) for m in ("policy", "mbpo")}
    throw = [
        [row["to_1_cm"][1] for row in _all(control_figure6.MEASUREMENT.rows(), problem="throw", method=method)]
        for method in ("gradient", "cma")
    ]
    grasps = [row["methods"] for row in grasp_planning.BENCHMARK.rows()]
    held = {m: 100 * _means(_means(row[m]["held"]) for row in grasps if m in row) for m in ("descent", "annealing")}
    steps, jacobians = (
        _range([row[name] for row in contact], form)
        for name, form in (("step / mj_step", ".1f"), ("differences / jacobian", ".0f"))
    )
    lines = [
        ("A step in contact, in `mj_step`s", steps, "simulator"),
        ("MuJoCo's differences, in our Jacobians of a step", jacobians, "simulator"),
        ("64 Ants' steps beside Gymnasium's async", f"{many['gradgym / async']:.1f} times", "simulator"),
        (
            "Pendulum of five links, MBPO with and without gradients",
            f"{links['policy']:.2f} and {links['mbpo']:.2f} of 12.5",
            "pendulum",
        ),
        (
            "Episodes until a throw is 1 cm off, descent and CMA-ES",
            f"{np.median(throw[0]):.0f} and {np.median(throw[1]):.0f}",
            "control_and_estimation",
        ),
        (
            "Planned grasps that hold in MuJoCo, and by annealing",
            f"{held['descent']:.0f} and {held['annealing']:.0f} %",
            "grasps",
        ),
    ]
    body = [table_line([f"[{what}](docs/results/{page}.md)", number]) for what, number, page in lines]
    return "\n".join([table_line(["Measured", "is"]), "|---|---|", *body])


TABLES = {"why": why, "environments": environments, "results": results}
