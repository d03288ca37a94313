"""All tables and figures about the simulator, made one after the other.

python benchmarks/simulator_tables.py            # measures all, then tables, pages and plots
python benchmarks/simulator_tables.py --quick    # the same in little time, into a folder of its own
"""

import argparse
import sys
import tempfile
from pathlib import Path

import pages
from simulator_measurements import MEASUREMENTS


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a trial: the stored results stay as they are")
    quick = parser.parse_args(argv).quick
    trial = Path(tempfile.mkdtemp())
    for measurement in MEASUREMENTS:
        print(f"== {measurement.title}", flush=True)
        results = trial / measurement.results.name if quick else measurement.results
        measurement.main([*(["--quick"] if quick else []), "--results", str(results)])
    if not quick:
        pages.main([])
    return 0


if __name__ == "__main__":
    sys.exit(main())
