"""What README, docs and CI say, tried."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from snippets import PAGES, blocks

import gradgym
from gradgym import train
from gradgym.agents import DATASET_TRAININGS

ROOT = Path(__file__).parent.parent


def python_blocks(name: str, word: str = "") -> list[str]:
    """Those of a page that are to be run and have `word`."""
    found = [b.code for b in blocks((ROOT / name).read_text()) if b.language == "python" and not b.file]
    return [code for code in found if word in code]


def run(block: str) -> list[str]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block, "example", "exec"), {"__name__": "example"})
    return printed.getvalue().splitlines()


def test_readme_example_prints_a_gradient() -> None:
    (block,) = python_blocks("README.md")
    assert len(block.strip().splitlines()) == 10
    gradient, shape = run(block)
    numbers = [float(x) for x in gradient.strip("[]").split()]
    assert len(numbers) == 3
    assert any(numbers)
    assert shape == "(16, 3)"


def test_docs_example_agrees_with_differences() -> None:
    (block,) = python_blocks("docs/gradients.md", "by_difference")
    rows = [[float(x) for x in line.split()] for line in run(block)]
    assert len(rows) == 3
    for analytic, by_difference in rows:
        assert analytic == pytest.approx(by_difference, abs=1e-4)


def test_the_trainers_of_the_docs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    training, several, own = python_blocks("docs/policy_gradients.md")
    (action,) = run(training.replace("1_000_000", "500"))
    assert len(action.strip("[]").split()) == 6
    assert list(tmp_path.glob("runs/*/events*")) and (tmp_path / "cheetah.zip").exists()
    assert run(several) == ["torch.Size([12])"]
    (norm,) = run(own)
    assert 0.0 < float(norm.removeprefix("tensor(").split(",")[0]) < 100.0


def test_policy_files_can_be_read_as_the_docs_say() -> None:
    episode, bare = python_blocks("docs/policy_files.md")
    (printed,) = run(episode)
    assert printed.startswith("bptt {'n_links': 3} ")
    assert float(printed.split()[-1]) > 4.0  # of 4.5
    action = " ".join(run(bare))
    expected, _ = gradgym.pretrained("gradgym/Ant-v0").predict(np.zeros(27), deterministic=True)
    assert [float(x) for x in action.strip("[]").split()] == pytest.approx(expected, abs=1e-5)


def test_ci_runs_the_readmes_test_command() -> None:
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    (command,) = re.findall(r"&& (pip install -c .*)$", readme, re.MULTILINE)
    assert command in ci.splitlines()


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 900


def test_the_task_of_readme_has_twenty_lines() -> None:
    (task,) = [block for block in blocks((ROOT / "README.md").read_text()) if block.file]
    assert len([line for line in task.code.splitlines() if line]) <= 20


def test_every_link_of_readme_leads_somewhere() -> None:
    text = (ROOT / "README.md").read_text()
    targets = re.findall(r"\]\(([^)#:]+)(#[^)]*)?\)", text)
    assert len(targets) > 40
    for path, anchor in targets:
        assert (ROOT / path).exists(), path
        if anchor:
            titles = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(), re.MULTILINE)
            assert anchor[1:] in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, anchor


@pytest.mark.parametrize("name", [*PAGES, "CONTRIBUTING.md"])
def test_every_file_that_is_named_exists(name: str) -> None:
    named = set(
        re.findall(r"`((?:agents|benchmarks|docs|envs|examples|sim|tests)/[\w./]+\.\w+)`", (ROOT / name).read_text())
    )
    assert not {path for path in named if not (ROOT / path).exists()}


def test_files_that_contributing_names_are_found() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert len(re.findall(r"`(?:sim|envs|agents)/[\w./]+\.py`", text)) > 30


def test_the_example_of_manipulation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = python_blocks("docs/manipulation.md", "Consistency")
    run(block.replace("50_000", "320"))
    assert (tmp_path / "two_fingers.zip").exists()


def evaluated(text: str) -> list[str]:
    """Run folders that a page evaluates, in a folder that was empty; the latest command of their name trained them."""
    trained: dict[Path, Path] = {}
    found: list[str] = []
    for match in re.finditer(r"(?:^ *|&& )(gradgym-(?:train|evaluate) [^#\n]*)", text, re.MULTILINE):
        name, *words = match[1].split()
        if name == "gradgym-train" and "SEED" not in words and "--resume" not in words:
            arguments = train._parser().parse_args(words)
            algo, env = arguments.algo or "mbpo", arguments.env or "gradgym/NLinkPendulum-v0"
            stem = [algo] if algo in DATASET_TRAININGS else [algo, env.replace("/", "-").replace(":", "-")]
            wanted = Path("runs") / "-".join([*stem, str(arguments.seed or 0)])
            folder = arguments.run_dir or train._unused(wanted)
            folder.mkdir(parents=True)
            trained[arguments.run_dir or wanted] = folder
        elif name == "gradgym-evaluate" and words[0].startswith("runs/"):
            folder = Path(words[0]).parent if words[0].endswith(".safetensors") else Path(words[0])
            assert folder in trained.values(), f"{match[1]}: another command's run, or nobody's"
            found.append(words[0])
    return found


def test_what_a_page_evaluates_its_own_commands_have_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as a reader would; none evaluates the run of another command by its folder's name."""
    found: list[str] = []
    for number, page in enumerate([ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]):
        (tmp_path / str(number)).mkdir()
        monkeypatch.chdir(tmp_path / str(number))
        found += evaluated(page.read_text())
    assert len(found) >= 2
