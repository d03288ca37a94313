"""Data sets of pushing tasks: what is kept, that files come back, and that a killed generation loses nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from gradgym.agents.pushing import generation, tasks
from gradgym.agents.pushing.data_command import main
from gradgym.agents.pushing.dataset import Dataset
from gradgym.agents.pushing.generation import TaskSet, TaskSettings, generate
from gradgym.agents.pushing.oracle import ContactPlan, plan_contacts
from gradgym.agents.pushing.simulation import PushingSimulator
from gradgym.agents.pushing.tasks import OwnPolygons, PushingTask, RandomPolygons, SmoothShapes, draw_task
from gradgym.envs.polygon import Polygon
from gradgym.envs.pushing_video import video

SETS = {"few": TaskSet(3, RandomPolygons(4, 6)), "smooth": TaskSet(2, SmoothShapes())}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    generate(folder, SETS, progress=False)
    return folder


def same(one: Path, other: Path) -> bool:
    return all((one / f"{name}.npz").read_bytes() == (other / f"{name}.npz").read_bytes() for name in SETS)


def test_plans_work_in_the_simulator(whole: Path) -> None:
    """The loss by hand, of a simulation made anew; doing nothing is far worse."""
    for name in SETS:
        for task in Dataset.load(whole / f"{name}.npz").tasks:
            simulator = PushingSimulator(task.polygon, backend="mujoco")
            commands = torch.tensor(task.plan.p + task.plan.lam / 500.0)[None]
            r = torch.tensor(task.plan.r)[None]
            poses = simulator.rollout(commands, r, torch.tensor(task.plan.p)[None])[0].numpy()
            far = 100.0 * (poses - task.plan.r)
            far[:, 2] = 3.0 * (np.sin(poses[:, 2]) - np.sin(task.plan.r[:, 2]))
            assert np.square(far).mean() == pytest.approx(task.losses.plan_in_mujoco, rel=1e-6)
            assert task.losses.plan == pytest.approx(task.losses.plan_in_mujoco, rel=1e-3, abs=1e-4)
            assert task.losses.plan <= 0.5
            np.testing.assert_array_equal(task.commands, commands[0].numpy())
    losses = [task.losses for name in SETS for task in Dataset.load(whole / f"{name}.npz").tasks]
    assert np.mean([loss.held for loss in losses]) > 3.0
    assert np.mean([loss.absent for loss in losses]) > 3.0


def test_what_has_no_fingers_falls_or_stays() -> None:
    """Without fingers a block in the air falls freely: 1, 4, 9 and 16 times 4.9 cm, from 60 cm up."""
    block = Polygon([[-0.05, -0.03], [0.05, -0.03], [0.05, 0.03], [-0.05, 0.03]])
    r = np.tile([0.0, 0.9, 0.0], (5, 1))
    plan = plan_contacts(block, r)
    assert plan is not None
    loss = tasks._losses(block, plan, 500.0)
    fallen = 100.0 * 0.5 * 9.81 * (0.1 * np.arange(5)) ** 2
    assert loss.absent == pytest.approx(np.square(fallen).mean() / 3.0, rel=0.03)
    assert loss.plan < 0.01


def test_files_come_back(whole: Path, tmp_path: Path) -> None:
    data = Dataset.load(whole / "few.npz")
    data.save(tmp_path / "again.npz")
    with np.load(whole / "few.npz") as one, np.load(tmp_path / "again.npz") as other:
        assert set(one.files) == set(other.files)
        for name in one.files:
            # A polygon's vertices are moved to its centroid again, by rounding errors.
            np.testing.assert_allclose(one[name], other[name], rtol=1e-13, atol=1e-15)
    assert len(data) == 3
    for task in data.tasks:
        replanned = plan_contacts(task.polygon, task.plan.r)
        assert replanned is not None
        assert replanned.objective == pytest.approx(task.plan.objective, rel=1e-9)
        np.testing.assert_allclose(replanned.lam, task.plan.lam, atol=1e-7)


def test_batches_hold_what_the_tasks_do(whole: Path) -> None:
    data = Dataset.load(whole / "few.npz")
    batch = data.batch
    assert batch.video.shape == (3, 5, 50, 50, 3)
    for i, task in enumerate(data.tasks):
        np.testing.assert_array_equal(batch.video[i].numpy(), video(task.polygon, task.plan.r))
        for name in ("r", "jacobian", "facets", "cones", "p_e", "cones_e"):
            np.testing.assert_array_equal(getattr(batch.parameters, name)[i].numpy(), getattr(task.plan, name))
        np.testing.assert_array_equal(batch.p[i].numpy(), task.plan.p)
        np.testing.assert_array_equal(batch.lam[i].numpy(), task.plan.lam)
        np.testing.assert_array_equal(batch.parameters.inertia[i].numpy(), task.polygon.inertia)


def test_inverse_dynamics_of_the_true_parameters_is_the_plan(whole: Path) -> None:
    pytest.importorskip("proxsuite", reason="the extra 'pushing'")
    from gradgym.agents.pushing.inverse_dynamics import InverseDynamics

    batch = Dataset.load(whole / "few.npz").batch
    solution = InverseDynamics()(batch.parameters)
    assert float(solution.slack.abs().max()) < 1e-3
    torch.testing.assert_close(solution.p, batch.p, rtol=0.0, atol=1e-3)
    torch.testing.assert_close(solution.lam, batch.lam, rtol=0.0, atol=0.1)


def test_tasks_depend_on_seed_set_and_number_alone(whole: Path, tmp_path: Path) -> None:
    longer = {"few": TaskSet(4, RandomPolygons(4, 6)), "other": TaskSet(1, RandomPolygons(4, 6))}
    generate(tmp_path, longer, progress=False)
    more, few, other = (Dataset.load(f) for f in (tmp_path / "few.npz", whole / "few.npz", tmp_path / "other.npz"))
    for one, two in zip(more.tasks, few.tasks, strict=False):
        np.testing.assert_array_equal(one.plan.p, two.plan.p)
    assert not np.array_equal(other.tasks[0].plan.r, few.tasks[0].plan.r)
    assert len({task.plan.objective for task in more.tasks}) == 4
    generate(tmp_path / "seed", {"few": TaskSet(1, RandomPolygons(4, 6))}, TaskSettings(seed=1), progress=False)
    assert not np.array_equal(Dataset.load(tmp_path / "seed" / "few.npz").tasks[0].plan.r, few.tasks[0].plan.r)


def test_a_broken_generation_goes_on(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    draw = generation.draw_task

    def counted(*arguments: object) -> tuple[PushingTask, float]:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(1)
        return draw(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(generation, "draw_task", counted)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, SETS, progress=False)
    assert not (tmp_path / "few.npz").exists()
    (tmp_path / "few" / "00002.npz.part").write_bytes(b"half")
    made = [-1] * 3
    monkeypatch.setattr(generation, "draw_task", lambda *a: made.append(1) or draw(*a))
    spent = generate(tmp_path, SETS, progress=False)
    assert sum(made) == 0  # three more, not five
    assert np.isfinite([*spent.values()]).all()
    assert same(tmp_path, whole)
    assert not (tmp_path / "few").exists()
    assert np.isnan([*generate(tmp_path, SETS, progress=False).values()]).all()


@pytest.mark.slow
def test_processes_and_kills_change_nothing(whole: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from gradgym.agents.pushing.generation import *\n"
        "from gradgym.agents.pushing.tasks import *\n"
        "if __name__ == '__main__':\n"
        "    sets = {'few': TaskSet(3, RandomPolygons(4, 6)), 'smooth': TaskSet(2, SmoothShapes())}\n"
        f"    generate(Path({str(tmp_path)!r}), sets, jobs=2, progress=False)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    process = subprocess.Popen([sys.executable, str(script)], start_new_session=True)
    for _ in range(1200):
        if list(tmp_path.glob("few/*.npz")) or process.poll() is not None:
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run([sys.executable, str(script)], check=True)
    assert same(tmp_path, whole)


def test_other_settings_need_another_folder(whole: Path) -> None:
    with pytest.raises(ValueError, match="made with other settings"):
        generate(whole, SETS, TaskSettings(seed=1), progress=False)
    with pytest.raises(ValueError, match="jobs=0"):
        generate(whole, SETS, jobs=0)


def test_what_is_not_kept_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[ContactPlan | None] = [None, None]
    monkeypatch.setattr(tasks, "plan_contacts", lambda *a: plans.pop() if plans else plan_contacts(*a))
    task, _ = draw_task(RandomPolygons(4, 6), np.random.default_rng(0))
    assert task.rejected.infeasible == 2
    monkeypatch.setattr(tasks, "KEPT_BELOW", -1.0)
    monkeypatch.setattr(tasks, "_TRIES", 3)
    with pytest.raises(ValueError, match=r"none of 3 draws was kept \(3 failed\)"):
        draw_task(RandomPolygons(4, 6), np.random.default_rng(0))


def test_own_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bar.csv"
    np.savetxt(file, [[0.0, 0.0], [0.14, 0.0], [0.14, 0.05], [0.0, 0.05]], delimiter=",")
    task, _ = draw_task(OwnPolygons((str(file),)), np.random.default_rng(1), num_fingers=3, knots=4)
    assert task.plan.p.shape == (4, 3, 2)
    assert task.polygon.area == pytest.approx(0.14 * 0.05)
    np.savetxt(file, [[0.0, 0.0], [1.4, 0.0], [1.4, 0.5], [0.0, 0.5]], delimiter=",")
    with pytest.raises(ValueError, match="100 out of reach"):
        draw_task(OwnPolygons((str(file),)), np.random.default_rng(1))
    np.savetxt(file, [[0.0, 0.0], [0.1, 0.1], [0.1, 0.0], [0.0, 0.1]], delimiter=",")
    assert main([str(tmp_path / "data"), "--polygons", str(file)]) == 2
    assert capsys.readouterr().err.startswith(f"gradgym-pushing-data: polygon file {file}: polygon: facets cross")


def test_the_command_makes_the_sets_and_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {name: TaskSet(1, RandomPolygons(12, 12)) for name in ("training", "finetuning", "test")}
    monkeypatch.setattr("gradgym.agents.pushing.data_command.PAPER_SETS", small)
    monkeypatch.setenv("COLUMNS", "160")
    assert main([str(tmp_path), "--seed", "3", "--smooth", "1", "--training", "2"]) == 0
    assert "absent" in capsys.readouterr().out
    assert len(Dataset.load(tmp_path / "test.npz").polygons[0].vertices) == 12
    assert [len(Dataset.load(tmp_path / f"{name}.npz")) for name in (*small, "smooth")] == [2, 1, 1, 1]


def test_files_that_are_no_data_sets(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file, make data sets with"):
        Dataset.load(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", r=np.zeros((1, 5, 3)))
    with pytest.raises(ValueError, match="is no data set of pushing tasks"):
        Dataset.load(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("nothing")
    with pytest.raises(ValueError, match="is no data set of pushing tasks"):
        Dataset.load(tmp_path / "text.npz")
    with pytest.raises(ValueError, match="all must be the same"):
        Dataset(())
