"""Code blocks of README and docs, and how a reader would try them: one after the other, in a fresh folder."""

import configparser
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_DOCS = (path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md"))
PAGES = ["README.md", *sorted(str(path) for path in _DOCS if "_build" not in path.parts)]
_MARK, _CODE = r"(?:^<!-- (run|file): ([^\n]*) -->\n)?", r"^```(python|bash|text)\n(.*?)^```$"
_BLOCK = re.compile(_MARK + _CODE, re.DOTALL | re.MULTILINE)
_OUTPUT = re.compile(r"\A\n+(?:[^\n`]+\n+)?```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Code as a page shows it.

    Args:
        line: of the page, where it begins.
        language: "python" or "bash".
        file: what it is to be saved as, rather than run.
        slow: to be run by the slow tests alone.
        excused: why nothing runs it; "" for no reason.
        output: what the page says that it prints; "" if it does not.
    """

    line: int
    language: str
    code: str
    file: str = ""
    slow: bool = False
    excused: str = ""
    output: str = ""


def blocks(text: str) -> list[Block]:
    """Those of a page, in its order; ValueError for a mark that means nothing."""
    found = []
    for match in _BLOCK.finditer(text):
        kind, value, language, code = match.groups()
        if language == "text" and kind != "file":
            continue
        line = text[: match.start()].count("\n") + 1
        reason = value.removeprefix("no, ") if kind == "run" and value.startswith("no, ") else ""
        if kind == "run" and value != "slow" and not reason:
            raise ValueError(f"line {line}: run: {value}: say slow, or no and why")
        output = _OUTPUT.match(text[match.end() :]) if language == "bash" else None
        found.append(
            Block(
                line,
                language,
                code,
                file=value if kind == "file" else "",
                slow=kind == "run" and value == "slow",
                excused=reason,
                output="" if output is None else output[1],
            )
        )
    return found


def commands(folder: Path) -> Path:
    """A folder with the package's commands, as an installation makes them, and the examples' beside it."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    made = folder / "bin"
    made.mkdir()
    for entry in settings["options.entry_points"]["console_scripts"].split("\n"):
        if entry.strip():
            name, target = (part.strip() for part in entry.split("="))
            module, function = target.split(":")
            call = f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n"
            (made / name).write_text(f"#!{sys.executable}\n{call}")
            (made / name).chmod(0o755)
    return made


def run(block: Block, folder: Path, scripts: Path) -> str:
    """What the block prints in a folder; AssertionError with its last words if it fails."""
    if block.file:
        (folder / block.file).write_text(block.code)
        return ""
    shell = ["bash", "-e", "-o", "pipefail", "-c", block.code]
    command = shell if block.language == "bash" else [sys.executable, "-c", block.code]
    path = os.pathsep.join([str(scripts), str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, f"line {block.line}:\n{block.code}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
    return done.stdout
