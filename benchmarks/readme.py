"""Put the stored results into README.md and docs/: tables between markers, pages, plots.

python benchmarks/readme.py            # writes
python benchmarks/readme.py --check    # says whether README.md holds what the results say
"""

import argparse
import json
import re
import sys
from pathlib import Path

import ant_figure5
import ant_table5
import consistency_figure5
import contact_speed
import grasp_network
import grasp_planning
import locomotion_clock
import manipulation_trainings
import pendulum_bptt
import pendulum_table4
import pretrained
import pushing_table1
import shac_sweep
import target_trainings
import vector_throughput
from simulator_measurements import MEASUREMENTS
from trainings import Benchmark

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
# By the name between README's markers.
BENCHMARKS: dict[str, Benchmark] = {
    "table 4": pendulum_table4.BENCHMARK,
    "pendulum bptt": pendulum_bptt.BENCHMARK,
    "figure 5": ant_figure5.BENCHMARK,
    "table 5": ant_table5.BENCHMARK,
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


def updated(text: str) -> str:
    """README's text with every generated part made again."""
    tables = {name: benchmark.table(benchmark.rows()) for name, benchmark in BENCHMARKS.items()}
    tables["contact"] = contact_speed.table(json.loads(contact_speed.RESULTS.read_text()))
    tables["throughput"] = vector_throughput.table(json.loads(vector_throughput.RESULTS.read_text()))
    tables |= {m.name.replace("_", " "): m.readme() for m in MEASUREMENTS}
    for name, content in tables.items():
        pattern = rf"(<!-- {name}: generated -->\n).*?(<!-- end -->)"
        text, count = re.subn(pattern, lambda found, body=content: found[1] + body + "\n" + found[2], text, flags=re.S)
        if count != 1:
            raise ValueError(f"README.md: {count} places for {name!r}, expected one pair of markers")
    return text


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if something would change")
    arguments = parser.parse_args(argv)
    text = README.read_text()
    if arguments.check:
        pages = all(m.page_path.exists() and m.page_path.read_text() == m.page() for m in MEASUREMENTS)
        return int(updated(text) != text or not pages)
    README.write_text(updated(text))
    for benchmark in BENCHMARKS.values():
        if benchmark.plot is not None:
            benchmark.plot(benchmark.rows(), ROOT / "docs" / f"{benchmark.name}.png")
    for measurement in MEASUREMENTS:
        measurement.page_path.parent.mkdir(exist_ok=True)
        measurement.page_path.write_text(measurement.page())
        if measurement.plot is not None:
            measurement.plot(measurement.rows(), measurement.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
