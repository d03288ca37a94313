"""Episodes of the training in monitor.csv, as SB3's `Monitor` writes them, whatever environments an algorithm has."""

import json
from pathlib import Path
from time import time

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import ResultsWriter

from .whole_file import written_beside

_COLUMNS = ["r", "l", "t", "timesteps"]


class MonitorCallback(BaseCallback):
    """Writes a line for each episode that `infos` of a step says has ended.

    Columns: return "r", length "l", seconds of wall-clock "t" since the run first began, and "timesteps", the
    environment steps of the training when the episode ended. `stable_baselines3.common.results_plotter` reads it.

    Args:
        run_dir: gets monitor.csv; lines there after the step that the training goes on from are dropped.
        env_id: for the header.

    Raises:
        ValueError: monitor.csv is there and damaged.
    """

    def __init__(self, run_dir: Path, env_id: str) -> None:
        super().__init__()
        self.path, self.env_id = run_dir / "monitor.csv", env_id
        self.started, self.rows = _read(self.path)

    def _on_training_start(self) -> None:
        kept = [row for row, timesteps in self.rows if timesteps <= self.model.num_timesteps]
        header = json.dumps({"t_start": self.started, "env_id": self.env_id})
        with written_beside(self.path) as file:
            file.write_text("\n".join([f"#{header}", ",".join(_COLUMNS), *kept]) + "\n")
        self.writer = ResultsWriter(str(self.path), extra_keys=("timesteps",), override_existing=False)

    def _on_step(self) -> bool:
        for info in self.locals.get("infos", ()):
            if "episode" in info:
                episode = info["episode"]
                row = {"r": round(float(episode["r"]), 6), "l": int(episode["l"]), "t": round(time() - self.started, 6)}
                self.writer.write_row({**row, "timesteps": self.num_timesteps})
        return True

    def _on_training_end(self) -> None:
        self.writer.close()


def _read(path: Path) -> tuple[float, list[tuple[str, int]]]:
    """When the run first began, and its lines with the steps of each."""
    if not path.exists():
        return time(), []
    # A process that was killed may have left half a line behind the last whole one.
    lines = path.read_text().rpartition("\n")[0].splitlines()
    try:
        started = float(json.loads(lines[0].removeprefix("#"))["t_start"])
        return started, [(row, int(row.rpartition(",")[2])) for row in lines[2:]]
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{path}: damaged ({error}); remove the lines that are no numbers, or the file") from error
