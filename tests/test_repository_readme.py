"""What README, docs and CI say, tried."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from gradgym import train
from gradgym.agents import DATASET_TRAININGS

ROOT = Path(__file__).parent.parent


def python_blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


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
    (block,) = python_blocks("docs/gradients.md")
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


def test_ci_runs_the_readmes_test_command() -> None:
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    (command,) = re.findall(r"&& (pip install -c .*)$", readme, re.MULTILINE)
    assert command in ci.splitlines()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_file_that_is_named_exists(name: str) -> None:
    named = set(re.findall(r"`([\w./]+\.(?:py|md|cfg|txt))`", (ROOT / name).read_text()))
    missing = {path for path in named if not (ROOT / path).exists()}
    assert named
    assert not missing


def test_the_example_of_manipulation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = python_blocks("docs/manipulation.md")
    run(block.replace("50_000", "320"))
    assert (tmp_path / "two_fingers.zip").exists()


def evaluated(text: str) -> list[str]:
    """Run folders that a page evaluates, in a folder that was empty; a command above in the same block trained them."""
    trained: dict[str, int] = {}
    found: list[str] = []
    for match in re.finditer(r"(?:^ *|&& )(gradgym-(?:train|evaluate) [^#\n]*)", text, re.MULTILINE):
        name, *words = match[1].split()
        block = text[: match.start()].count("\n\n")
        if name == "gradgym-train" and "SEED" not in words and "--resume" not in words:
            arguments = train._parser().parse_args(words)
            algo, env = arguments.algo or "mbpo", arguments.env or "gradgym/NLinkPendulum-v0"
            stem = [algo] if algo in DATASET_TRAININGS else [algo, env.replace("/", "-").replace(":", "-")]
            folder = arguments.run_dir or train._unused(Path("runs") / "-".join([*stem, str(arguments.seed or 0)]))
            folder.mkdir(parents=True)
            trained[str(folder)] = block
        elif name == "gradgym-evaluate" and words[0].startswith("runs/"):
            assert trained.get(words[0]) == block, f"{match[1]}: trained elsewhere, or nowhere"
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
