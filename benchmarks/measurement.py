"""What benchmarks that measure share: the command line, stored results, and the page that shows them.

A benchmark is one `Measurement`: `measure` makes rows, everything else is made from stored rows.
Results are written when all is measured, so that a file never holds half a run.
"""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gradgym.agents.training.provenance import machine, versions

Row = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent
_RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Measurement:
    """A benchmark that compares measurements.

    Args:
        name: of its script, its results, its page and its plot.
        title: of its page.
        shows, leaves_out: one sentence each: what the page shows, and what it does not.
        measure: makes the rows; its argument is `quick`, for tests: the same in seconds.
        table: the rows as markdown.
        summary: the same for docs/results/simulator.md, where the page's own table is too long for it.
        notes: what a reader must know, such as why a rival wins; further paragraphs, from the rows.
        plot: draws the rows into a file, where a table does not say it all.
        rivals: distributions whose versions the results hold, where installed.
    """

    name: str
    title: str
    shows: str
    leaves_out: str
    measure: Callable[[bool], list[Row]]
    table: Callable[[list[Row]], str]
    summary: Callable[[list[Row]], str] | None = None
    notes: Callable[[list[Row]], str] | None = None
    plot: Callable[[list[Row], Path], None] | None = None
    rivals: tuple[str, ...] = ()

    @property
    def results(self) -> Path:
        return _RESULTS / f"{self.name}.json"

    @property
    def picture(self) -> Path:
        return ROOT / "docs" / f"{self.name}.png"

    @property
    def page_path(self) -> Path:
        return ROOT / "docs" / "results" / f"{self.name}.md"

    @property
    def command(self) -> str:
        return f"python benchmarks/{self.name}.py"

    def stored(self, path: Path | None = None) -> dict[str, Any]:
        """The stored results: rows, and what they were measured with."""
        return json.loads((path or self.results).read_text())

    def rows(self) -> list[Row]:
        return self.stored()["rows"]

    def page(self) -> str:
        """The page of the stored results, markdown."""
        stored = self.stored()
        packages = ", ".join(f"{name} {number}" for name, number in stored["versions"].items())
        host = stored["machine"]
        parts = [
            f"# {self.title}",
            f"Shows: {self.shows}\n\nDoes not show: {self.leaves_out}",
            self.table(stored["rows"]),
            *([f"![{self.title}](../{self.picture.name})"] if self.plot is not None else []),
            *([self.notes(stored["rows"])] if self.notes is not None else []),
            f"Made by `{self.command}`; {host['processor']}, {host['cores']} cores, {host['system']}; {packages}.",
        ]
        return "\n\n".join(parts) + "\n"

    def empty_page(self) -> str:
        """The page while nothing is stored."""
        return f"# {self.title}\n\nNot measured yet: `{self.command}` does it.\n"

    def main(self, argv: Sequence[str] | None = None) -> int:
        parser = argparse.ArgumentParser(description=self.shows)
        parser.add_argument("--quick", action="store_true", help="the same in seconds, to try the script")
        parser.add_argument("--results", type=Path, default=self.results, help="where they are stored")
        parser.add_argument(
            "--table", action="store_true", help="measure nothing, print the stored results as markdown"
        )
        arguments = parser.parse_args(argv)
        if not arguments.table:
            self._store(arguments.results, self.measure(arguments.quick))
        print(self.table(self.stored(arguments.results)["rows"]))
        return 0

    def _store(self, path: Path, rows: list[Row]) -> None:
        content = {
            "command": self.command,
            "versions": {**versions(), **_installed(self.rivals)},
            "machine": machine(),
            "rows": rows,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(content, indent=1) + "\n")
        os.replace(temporary, path)


def _installed(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def cell(value: float | None, form: str = ".3g") -> str:
    """A number in a table; empty where a side is missing."""
    return "" if value is None else format(value, form)
