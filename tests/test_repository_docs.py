"""The documentation is built, with warnings as errors, and holds what it promises."""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

from gradgym import evaluate, sim, train
from gradgym.agents import ALGORITHMS, DATASET_TRAININGS
from gradgym.agents.grasp import command_line
from gradgym.agents.pushing import data_command

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-d", str(target / "trees")]
    return subprocess.run([*command, str(source), str(target)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = build(DOCS, target)
    assert done.returncode == 0, done.stderr[-3000:]
    return target


def options(parser: argparse.ArgumentParser) -> list[str]:
    """The places that Sphinx gives them."""
    found: list[str] = []
    for action in parser._actions:
        names = [name for name in action.option_strings if name.startswith("--") and name != "--help"]
        found += [f'id="cmdoption-{parser.prog.replace(" ", "-")}{name[1:]}"' for name in names]
        if isinstance(action, argparse._SubParsersAction):
            found += [name for child in action.choices.values() for name in options(child)]
    return found


def test_every_flag_is_on_the_command_lines_page(site: Path) -> None:
    page = (site / "command_line.html").read_text()
    for module in (train, evaluate, command_line, data_command):
        names = options(module._parser())
        assert len(names) > 3
        assert not [name for name in names if name not in page], module


def test_every_environment_has_a_page(site: Path) -> None:
    ids = [env_id for env_id in gymnasium.registry if env_id.startswith("gradgym/")]
    pages = {path: path.read_text() for path in (site / "environments").glob("*.html")}
    for env_id in ids:
        (page,) = [text for path, text in pages.items() if path.stem != "index" and f"{env_id}</span>" in text]
        name = env_id.removeprefix("gradgym/").removesuffix("-v0")
        assert f'<span class="pre">{name}</span>' in page and "<code" in page
        assert (DOCS / "environments" / f"{name}.webp").exists()
        assert (site / "_images" / f"{name}.webp").exists()


def test_every_algorithm_has_a_page(site: Path) -> None:
    for name in (*ALGORITHMS, *DATASET_TRAININGS):
        page = (site / "algorithms" / f"{name}.html").read_text()
        words = re.sub(r"<[^>]*>", "", page)
        assert f"gradgym-train --algo {name} " in words and f"agents/presets/{name}.yaml" in words
        assert "total_timesteps" in page or name in DATASET_TRAININGS


def test_what_is_refused_is_listed_with_what_to_do(site: Path) -> None:
    page = (site / "simulator" / "mjcf.html").read_text()
    rows = re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    assert len(rows) > 10
    assert any("flex" in row and "bodies and joints" in row for row in rows)


def test_the_public_names_of_the_simulator_are_documented(site: Path) -> None:
    page = (site / "simulator" / "api.html").read_text()
    for name in sim.__all__:
        kind = "module-" if name in ("mujoco_twin", "torch_bridge") else ""
        assert f'id="{kind}gradgym.sim.{name}"' in page, name


@pytest.mark.parametrize("fault", ["a link", "a directive"])
def test_a_fault_fails_the_build(fault: str, tmp_path: Path) -> None:
    """With a page or two, so that it is quick."""
    source = tmp_path / "docs"
    shutil.copytree(DOCS / "extensions", source / "extensions")
    shutil.copytree(DOCS / "static", source / "static")
    shutil.copy(DOCS / "conf.py", source)
    faults = {"a link": "[x](nowhere.md)", "a directive": ":::{task} No-v0\n:::"}
    (source / "index.md").write_text(f"# Page\n\n{faults[fault]}\n")
    assert build(source, tmp_path / "site").returncode != 0
