"""Put the stored results into README.md and docs/: tables between markers, pages, plots.

python benchmarks/pages.py            # writes
python benchmarks/pages.py --check    # exits with 1 unless they hold what the results say
"""

import argparse
import json
import re
import sys
from pathlib import Path

import ant_figure5
import ant_patches
import ant_table5
import consistency_figure5
import contact_speed
import gpu_throughput
import grasp_network
import grasp_planning
import locomotion_clock
import manipulation_trainings
import musculoskeletal
import pendulum_bptt
import pendulum_ilqr
import pendulum_table4
import pretrained
import pushing_table1
import readme_tables
import shac_sweep
import simulator_measurements
import target_trainings
import updates_per_second
import vector_throughput
from trainings import Benchmark

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
# By the name between markers.
BENCHMARKS: dict[str, Benchmark] = {
    "table 4": pendulum_table4.BENCHMARK,
    "pendulum bptt": pendulum_bptt.BENCHMARK,
    "pendulum ilqr": pendulum_ilqr.BENCHMARK,
    "figure 5": ant_figure5.BENCHMARK,
    "table 5": ant_table5.BENCHMARK,
    "ant patches": ant_patches.BENCHMARK,
    "clock": locomotion_clock.BENCHMARK,
    "sweep": shac_sweep.BENCHMARK,
    "pretrained": pretrained.BENCHMARK,
    "target trainings": target_trainings.BENCHMARK,
    "manipulation trainings": manipulation_trainings.BENCHMARK,
    "consistency figure 5": consistency_figure5.BENCHMARK,
    "grasp planning": grasp_planning.BENCHMARK,
    "grasp network": grasp_network.BENCHMARK,
    "pushing table1": pushing_table1.BENCHMARK,
}
# With pages of their own.
MEASUREMENTS = (*simulator_measurements.MEASUREMENTS, updates_per_second.MEASUREMENT, musculoskeletal.MEASUREMENT)

_MARKED = re.compile(r"(<!-- ([\w ]+): generated -->\n).*?(<!-- end -->)", re.DOTALL)


def tables() -> dict[str, str]:
    """What stands between markers, by their name."""
    made = {name: benchmark.table(benchmark.rows()) for name, benchmark in BENCHMARKS.items()}
    made["contact"] = contact_speed.table(json.loads(contact_speed.RESULTS.read_text()))
    made["throughput"] = vector_throughput.table(json.loads(vector_throughput.RESULTS.read_text()))
    made["packaged objects"] = grasp_planning.comparison(grasp_planning.BENCHMARK.rows(grasp_planning.PACKAGED))
    made |= {m.name.replace("_", " "): m.summary(m.rows()) for m in MEASUREMENTS if m.summary is not None}
    return made | {name: table() for name, table in readme_tables.TABLES.items()}


def updated() -> dict[Path, str]:
    """The text of README and of every page of results, with all that is generated made again.

    ValueError: a table has no place, or more than one.
    """
    made, places = tables(), dict[str, Path]()
    measured = {measurement.page_path: measurement.page() for measurement in MEASUREMENTS}
    gpu = gpu_throughput.MEASUREMENT
    measured[gpu.page_path] = gpu.page() if gpu.results.exists() else gpu.empty_page()
    texts = {path: path.read_text() for path in (README, *(ROOT / "docs" / "results").glob("*.md"))}

    def filled(found: re.Match[str], page: Path) -> str:
        name = found[2]
        if name not in made or name in places:
            raise ValueError(f"{page}: no table is called {name!r}, or {places.get(name)} has it")
        places[name] = page
        return found[1] + made[name] + "\n" + found[3]

    for path, text in texts.items():
        texts[path] = _MARKED.sub(lambda found, page=path: filled(found, page), text)
    if missing := made.keys() - places.keys():
        raise ValueError(f"docs/results: no place for {', '.join(sorted(missing))}, expected a pair of markers")
    return texts | measured


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if something would change")
    arguments = parser.parse_args(argv)
    texts = updated()
    if arguments.check:
        return int(any(not path.exists() or path.read_text() != text for path, text in texts.items()))
    for path, text in texts.items():
        path.write_text(text)
    for benchmark in BENCHMARKS.values():
        if benchmark.plot is not None:
            benchmark.plot(benchmark.rows(), ROOT / "docs" / f"{benchmark.name}.png")
    for measurement in MEASUREMENTS:
        if measurement.plot is not None:
            measurement.plot(measurement.rows(), measurement.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
