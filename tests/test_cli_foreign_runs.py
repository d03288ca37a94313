"""What a stranger's run folder or policy file can do to those who evaluate it: nothing."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import finished_runs
import pytest
import slide as slide  # registers its environment
import yaml

from gradgym import evaluate, train
from gradgym.agents.training.run import BEST
from gradgym.agents.training.tensor_file import read_tensors, write_tensors


class Harm:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_runs.finish(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return finished_runs.copy(finished, tmp_path)


def evaluated(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code, and what was printed as returns or as the error."""
    capsys.readouterr()
    code = evaluate.main([str(path), "--backend", "sim", "--episodes", "2"])
    printed = capsys.readouterr()
    return code, printed.err.strip() if code else printed.out


def test_no_pickle_is_read(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark = run.parent / "mark"
    harm = pickle.dumps(Harm(mark))
    pickle.loads(harm)
    assert mark.exists()  # it would be seen
    mark.unlink()
    expected = evaluated(run, capsys)
    assert expected[0] == 0
    read = {"config.yaml", BEST}
    for path in sorted(run.iterdir()):
        whole = path.read_bytes()
        path.write_bytes(harm)
        code, printed = evaluated(run, capsys)
        assert not mark.exists()
        assert (code, f"{path}: damaged" in printed) == ((2, True) if path.name in read else (0, False))
        with zipfile.ZipFile(path, "w") as file:  # as torch and Stable-Baselines3 save
            file.writestr("archive/data.pkl", harm)
            file.writestr("data", harm)
        assert evaluated(run, capsys)[0] == code
        assert not mark.exists()
        path.write_bytes(whole)
    for name in ("best_model.zip", "final_model.zip", "policy.pth"):
        (run / name).write_bytes(harm)
    (run / "checkpoint.pkl").write_bytes(harm)
    assert evaluated(run, capsys) == expected
    assert evaluated(run / BEST, capsys) == expected
    assert not mark.exists()
    with pytest.raises(ValueError, match="damaged"):  # a checkpoint is for those who wrote it
        train.Run(train.RunConfig.read(run), run)
    assert mark.exists()


def test_configurations_construct_no_objects(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark = run.parent / "mark"
    text = (run / "config.yaml").read_text()
    harm = f"!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{mark}]]"
    (run / "config.yaml").write_text(text.replace("seed: 0", f"seed: {harm}"))
    code, printed = evaluated(run, capsys)
    assert code == 2 and "config.yaml: damaged" in printed
    assert not mark.exists()


def test_code_beside_the_policy_is_not_imported(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even where its folder is the working folder, in which modules of ids are looked for."""
    mark = run.parent / "mark"
    code = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n"
    (run / "harmful.py").write_text(code)
    (run / "package").mkdir()
    (run / "package" / "__init__.py").write_text(code)
    settings, tensors = read_tensors(run / BEST)
    monkeypatch.chdir(run)
    for env in ("harmful:Slide-v0", "package:Slide-v0", "package.part:Slide-v0"):
        write_tensors(run / BEST, settings | {"env": env}, tensors)
        config = yaml.safe_load((run / "config.yaml").read_text()) | {"env": env}
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        found, printed = evaluated(Path(), capsys)
        assert found == 2 and "is code from the file's own folder" in printed
        assert not mark.exists()
