"""Time of one product with J'J of a relaxed rollout: our linear programs, and torch's of the same residuals.

    python benchmarks/gauss_newton_products.py          # measures, prints markdown, writes results/...json
    python benchmarks/gauss_newton_products.py --table  # prints the stored results as markdown

J is the derivative of all residuals of a batch of rollouts by the network's parameters, at the preset's sizes; torch's
are `torch.func.linearize`, or `torch.func.jvp`, and `torch.func.vjp`, on the rollout that `agents/consistency` writes
in torch. One thread; times are medians of calls that take turns. Both products are compared before they are timed.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from trainings import table_line

from gradgym.agents import RelaxedConsistency
from gradgym.agents.consistency.linearization import Linearization
from gradgym.agents.consistency.residuals import Residuals
from gradgym.agents.training.configuration import RunConfig, load_preset
from gradgym.agents.training.provenance import machine, versions

Row = dict[str, Any]
RESULTS = Path(__file__).parent / "results" / "gauss_newton_products.json"
ENVS = {"two fingers": "gradgym/CubeReorient-v0", "grasp": "gradgym/ShadowHandGrasp-v0"}


def measure(name: str, calls: int) -> Row:
    """Seconds of the parts of both, for one task."""
    algo, env = "relaxed_consistency", ENVS[name]
    config = RunConfig.from_settings(load_preset(algo, env), algo=algo, env=env, seed=0)
    arguments: dict[str, Any] = {"policy": "ConsistencyPolicy", **config.hyperparams}
    model = RelaxedConsistency(env=env, seed=0, **arguments)
    relaxed, generator = model.policy.relaxed, torch.Generator().manual_seed(0)
    parameters = model.policy.parameter_vector.detach()
    # A network that does something: objects at rest are at the kink of the residual that holds them on the table.
    parameters = parameters + 0.02 * torch.randn(parameters.shape, generator=generator)
    late = torch.linspace(0.0, 1.0, relaxed.settings.horizon + 1) ** model.late
    residuals, start = Residuals(relaxed, model.weights, late), model.starts()
    weight = torch.ones(model.batch_size)
    v = torch.randn(parameters.shape, generator=generator)

    def stacked(p: Tensor) -> Tensor:
        values = residuals.values(relaxed.rollout(p, start), start)
        return torch.cat([y.flatten() for y in values.values()])

    def linearize() -> Linearization:
        with torch.no_grad():
            path = relaxed.rollout(parameters, start)
            return Linearization(residuals, parameters, path, start, weight, np.random.default_rng(0))

    begun = perf_counter()
    _, forward = torch.func.linearize(stacked, parameters)
    linearized = perf_counter() - begun
    begun = perf_counter()
    reverse: Any = torch.func.vjp(stacked, parameters)[1]
    recorded = perf_counter() - begun
    linear = linearize()
    with torch.no_grad():
        ours, theirs = linear.product(v) * linear.count, reverse(forward(v))[0]
    error = float((ours - theirs).abs().max() / theirs.abs().max())
    if error > 1e-4:  # single precision
        raise SystemExit(f"{name}: the products differ by {error:.1e} of the largest entry")
    parts: dict[str, Callable[[], Any]] = {
        "rollout and linearization": linearize,
        "product": torch.no_grad()(lambda: linear.product(v)),
        "product, torch.func.linearize + vjp": lambda: reverse(forward(v)),
        "product, torch.func.jvp + vjp": lambda: reverse(torch.func.jvp(stacked, (parameters,), (v,))[1]),
    }
    taken: dict[str, list[float]] = {part: [] for part in parts}
    for _ in range(calls):
        for part, call in parts.items():
            begun = perf_counter()
            call()
            taken[part].append(perf_counter() - begun)
    return {
        "task": name,
        "parameters": len(parameters),
        "residuals": sum(y.numel() for y in linear.values.values()),
        "rollouts": model.batch_size,
        "error": error,
        "seconds": {part: round(median(times), 5) for part, times in taken.items()}
        | {"torch.func.linearize": round(linearized, 3), "torch.func.vjp": round(recorded, 3)},
    }


def table(rows: list[Row]) -> str:
    """Markdown: milliseconds of each part."""
    parts = list(rows[0]["seconds"])
    lines = [table_line(["", *(row["task"] for row in rows)]), "|---|" + "---:|" * len(rows)]
    for label in ("parameters", "residuals", "rollouts"):
        lines.append(table_line([label, *(f"{row[label]:,}" for row in rows)]))
    for part in parts:
        lines.append(table_line([f"{part} [ms]", *(f"{1e3 * row['seconds'][part]:.1f}" for row in rows)]))
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=15)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print the stored results as markdown")
    arguments = parser.parse_args(argv)
    if not arguments.table:
        torch.set_num_threads(1)
        content = {
            "command": "python benchmarks/gauss_newton_products.py",
            "versions": versions(),
            "machine": machine(),
            "rows": [measure(name, arguments.calls) for name in ENVS],
        }
        arguments.results.write_text(json.dumps(content, indent=1) + "\n")
    print(table(json.loads(arguments.results.read_text())["rows"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
