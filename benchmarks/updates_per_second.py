"""How many updates a second the trainers make, here and in another version of the package.

    BEFORE=path/to/parent python benchmarks/updates_per_second.py

`BEFORE` is a folder in which another checkout is, under the name `gradgym`; without it only this one is measured.
`ONLY=MBPO` measures those whose names begin so; what is stored of the others stays.
Each version is in a process of its own on one thread, blocks of updates in turn, medians of processor time.
"""

import os
import statistics
import subprocess
import sys
from typing import Any, NamedTuple

from measurement import ROOT, Measurement, Row, cell
from sides import Side


class Contestant(NamedTuple):
    """A training, and of what its updates are."""

    name: str
    update: str
    algo: str
    env: str
    changes: dict[str, Any]
    timesteps: int  # before the first block
    updates: int  # in a block; SHAC and PPO: rollouts
    fits: bool = False


ANT = "gradgym/Ant-v0"
# What versions have in common, in place of what a preset has.
_PLAIN: dict[str, Any] = {"n_envs": 1, "policy_kwargs": {"net_arch": [128, 128], "log_std_init": -1.0}}
_ON_POLICY: dict[str, Any] = {"train_env_kwargs": {}}
_SEVERAL = _ON_POLICY | {"n_envs": 16, "n_steps": 64, "batch_size": 256}
_SAMPLE, _POLICY = (_PLAIN | {"enhancement": name} for name in ("sample", "policy"))
CONTESTANTS = (
    Contestant("MBPO", "critics, policy, entropy, target; batches of 128", "mbpo", ANT, _PLAIN, 1500, 60),
    Contestant("MBPO, sample enhancement", "the same", "mbpo", ANT, _SAMPLE, 1500, 60),
    Contestant("MBPO, policy enhancement", "the same, one step of gradients", "mbpo", ANT, _POLICY, 1500, 60),
    Contestant("MBPO's model", "five networks, batches of 256", "mbpo", ANT, _PLAIN, 1500, 1, fits=True),
    Contestant("SHAC", "three steps of 85 Ants there and back; policy, critic", "shac", ANT, {}, 255 * 3, 3),
    Contestant("PPO, one environment", "a batch of 250, its steps included", "ppo", ANT, _ON_POLICY, 1000, 1),
    Contestant("PPO, 16 environments", "the same", "ppo", ANT, _SEVERAL, 1024, 1),
)
BLOCKS = 9


def commit(folder: Any) -> str:
    found = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def sides() -> dict[str, Side]:
    """This version, and the one before where it is."""
    before = os.environ.get("BEFORE")
    found = {"now": Side("updates")}
    if before is not None:
        found["before"] = Side("updates", package=before)
    return found


def measured(contestant: Contestant, blocks: int, quick: bool) -> Row:
    """Milliseconds an update of each version, and their ratio block by block."""
    versions, times = sides(), dict[str, list[float]]()
    try:
        for name, side in versions.items():
            settings = contestant._asdict() | ({"timesteps": 300} if quick else {})
            arguments = {key: settings[key] for key in ("algo", "env", "changes", "timesteps", "fits")}
            side.ask("load", **arguments)
            times[name] = []
        for block in range(-1, blocks):  # the first one warms up
            for name, side in versions.items():
                answer = side.ask("block", updates=min(contestant.updates, 3) if quick else contestant.updates)
                if block >= 0:
                    times[name].append(1e3 * answer["seconds"] / answer["updates"])
    finally:
        for side in versions.values():
            side.close()
    pairs = zip(times.get("before", []), times["now"], strict=False)
    ratios = [before / now for before, now in pairs]
    return {
        "name": contestant.name,
        "update": contestant.update,
        "milliseconds": {name: round(statistics.median(values), 3) for name, values in times.items()},
        "before / now": round(statistics.median(ratios), 2) if ratios else None,
        "before": commit(f"{os.environ['BEFORE']}/gradgym") if "BEFORE" in os.environ else None,
        "now": commit(ROOT),
    }


def measure(quick: bool) -> list[Row]:
    only = os.environ.get("ONLY", "")
    stored = {row["name"]: row for row in MEASUREMENT.rows()} if only else {}
    rows = []
    for contestant in CONTESTANTS[:1] if quick else CONTESTANTS:
        if contestant.name.startswith(only):
            rows.append(measured(contestant, 2 if quick else BLOCKS, quick))
            print(rows[-1], flush=True)
        elif contestant.name in stored:
            rows.append(stored[contestant.name])
    return rows


def table(rows: list[Row]) -> str:
    lines = [
        "| | an update is | updates a second | ms an update | ms, before | before / now |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        now, before = row["milliseconds"]["now"], row["milliseconds"].get("before")
        cells = f"{1e3 / now:,.0f} | {now:.3g} | {cell(before)} | {cell(row['before / now'], '.2f')}"
        lines.append(f"| {row['name']} | {row['update']} | {cells} |")
    return "\n".join(lines)


def notes(rows: list[Row]) -> str:
    versions = dict.fromkeys((row["now"], row["before"]) for row in rows)
    said = []
    for now, before in versions:
        names = "; ".join(row["name"] for row in rows if (row["now"], row["before"]) == (now, before))
        said.append(f"{names}: the version of commit {now}" + (f" beside that of commit {before}" if before else ""))
    return (
        f"{'. '.join(said)}. Presets for the Ant, MBPO's critics without layer norm. Other programs ran beside, so "
        "differences of a tenth mean nothing."
    )


MEASUREMENT = Measurement(
    name="updates_per_second",
    title="Updates a second",
    shows="how long the trainers' updates take in processor time, on one thread.",
    leaves_out="what is learned by them (see the results of trainings), more threads, or evaluations.",
    measure=measure,
    table=table,
    notes=notes,
    rivals=("torch", "stable-baselines3"),
)

if __name__ == "__main__":
    sys.exit(MEASUREMENT.main())
