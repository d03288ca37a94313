"""Every code block of README and docs, run as it is printed: those of a page in its order, in one fresh folder."""

import re
from pathlib import Path

import pytest
from snippets import PAGES, ROOT, Block, blocks, commands, run

QUICK = [name for name in PAGES if any(not (b.slow or b.excused or b.file) for b in blocks((ROOT / name).read_text()))]
SLOW = [name for name in PAGES if any(b.slow for b in blocks((ROOT / name).read_text()))]
_NUMBER = re.compile(r"[-+]?\d+\.\d+")


def run_page(name: str, folder: Path, slow: bool) -> list[tuple[Block, str]]:
    """Runs a page's blocks, with the slow ones or without; what each printed."""
    scripts = commands(folder)
    work = folder / "work"
    work.mkdir()
    chosen = [b for b in blocks((ROOT / name).read_text()) if not b.excused and (slow or not b.slow)]
    return [(block, run(block, work, scripts)) for block in chosen]


@pytest.mark.parametrize("name", QUICK)
def test_blocks_of_a_page_run(name: str, tmp_path: Path) -> None:
    assert run_page(name, tmp_path, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_all_blocks_of_a_page_run(name: str, tmp_path: Path) -> None:
    for block, printed in run_page(name, tmp_path, slow=True):
        if block.output:
            shown = block.output.splitlines()
            assert [_NUMBER.sub("#", line) for line in printed.splitlines()] == [_NUMBER.sub("#", s) for s in shown]
            # Other machines round otherwise, and a training amplifies it.
            numbers = [[float(x) for x in _NUMBER.findall(text)] for text in (printed, block.output)]
            assert numbers[0] == pytest.approx(numbers[1], abs=0.1)


def test_no_code_is_hidden_from_these_tests() -> None:
    """Code is in fences with a language that `blocks` knows; elsewhere nothing looks like a command."""
    for name in PAGES:
        text = (ROOT / name).read_text()
        assert set(re.findall(r"^```(\w+)$", text, re.MULTILINE)) <= {"python", "bash", "text"}, name
        outside = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
        hidden = re.findall(r"^ {4,}(?:gradgym-|pip |python |make |import |from ).*$", outside, re.MULTILINE)
        assert not [line for line in hidden if "SEED" not in line], name  # a command for many seeds is a pattern


def test_marks_are_read() -> None:
    text = "<!-- run: slow -->\n```bash\na\nb\n```\n\nIt prints\n\n```text\nout\n```\n```python\nc\n```\n"
    first, second = blocks(text)
    assert first == Block(1, "bash", "a\nb\n", slow=True, output="out\n")
    assert second == Block(12, "python", "c\n")
    saved, left = blocks("<!-- file: x.py -->\n```python\n```\n<!-- run: no, it ends never -->\n```bash\n```\n")
    assert saved.file == "x.py" and left.excused == "it ends never"
    with pytest.raises(ValueError, match="line 1: run: sometimes: say slow, or no and why"):
        blocks("<!-- run: sometimes -->\n```bash\n```\n")


def test_a_block_that_fails_says_where(tmp_path: Path) -> None:
    scripts = commands(tmp_path)
    assert {"gradgym-train", "gradgym-evaluate"} <= {path.name for path in scripts.iterdir()}
    for block in (Block(7, "bash", "false\ntrue\n"), Block(7, "python", "import no_such_module\n")):
        with pytest.raises(AssertionError, match="line 7"):
            run(block, tmp_path, scripts)
    with pytest.raises(AssertionError, match="no_such_option"):
        run(Block(1, "bash", "gradgym-evaluate . --no_such_option\n"), tmp_path, scripts)
