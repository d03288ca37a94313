"""Compilation for CUDA, which needs no GPU: PTX, machine code, what is kept on disk; lines on what is missing."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from feature_scenes import FEATURES
from gpu_scenes import SCENES

from gradgym import sim
from gradgym.sim.cuda import CudaUnavailableError, build, extra
from gradgym.sim.cuda.build import Binary
from gradgym.sim.cuda.programs import Program, programs

CAPABILITY = 9, 0
needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="the extra cuda is not installed: nothing compiles for CUDA"
)


@pytest.fixture(scope="module")
def program() -> Program:
    return programs(SCENES["pendulum"]().model).rollout


@pytest.fixture(scope="module")
def text(program: Program) -> str:
    return build.ptx(program, CAPABILITY)


@needs_compiler
def test_fields_are_loaded_from_global_memory(text: str) -> None:
    known, unknown = (
        len(re.findall(rf"\bld\.{space}[a-z0-9.]* ", text)) for space in ("global", "(?:f64|u64|u32|b64)")
    )
    assert known > 500
    assert unknown < 0.1 * known  # what is left is of the tables


@needs_compiler
def test_machine_code_is_made_without_a_gpu(text: str) -> None:
    made = build.assembled(text, CAPABILITY)
    assert made.code[:4] == b"\x7fELF" and made.entry in text
    assert 32 < made.registers <= 255 and made.spilled == 0


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("way", ["rollout", "gradient"])
def test_machine_code_is_made_of_every_feature(name: str, way: str) -> None:
    made = programs(FEATURES[name]().model)
    text = build.ptx(made.rollout if way == "rollout" else made.rollout_adj(False), CAPABILITY)
    assert "malloc" not in text and "vprintf" not in text  # kernels allocate nothing and raise nothing
    found = build.assembled(text, CAPABILITY)
    assert found.code[:4] == b"\x7fELF" and found.entry in text and found.registers <= 255


@needs_compiler
def test_numba_cuda_lowers_other_kernels_as_always(text: str) -> None:
    from numba import types

    def last(a: list[float]) -> None:
        a[0] = a[-1]

    array = types.float64[::1]
    found, _ = extra.numba_cuda().compile_ptx(last, (array,), device=False, cc=CAPABILITY, abi="numba")
    assert text and "-8" in found  # the entry before the end: the length is asked for


def _made(calls: list[str]) -> Callable[..., Binary]:
    def assembled(text: str, capability: tuple[int, int]) -> Binary:
        calls.append(text)
        return Binary("kernel", b"code of " + text.encode(), 100, 8)

    return assembled


def test_code_is_kept_on_disk_and_made_anew_where_it_is_damaged(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[str] = []
    monkeypatch.setenv("GRADGYM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(build, "version", lambda _: "0.30.4")
    monkeypatch.setattr(build, "ptx", lambda *_: "text")
    monkeypatch.setattr(build, "assembled", _made(calls))
    first = build.binary(program, CAPABILITY)
    assert "compiling rollout_worlds" in (said := capsys.readouterr().err)
    assert "100 registers" in said and "KiB of memory a world" in said
    assert build.binary(program, CAPABILITY) == first and len(calls) == 1
    assert capsys.readouterr().err == ""
    build.binary(program, (8, 0))
    assert len(calls) == 2
    (kept,) = tmp_path.rglob("*sm_90*.cubin")
    kept.write_bytes(b"half")
    assert build.binary(program, CAPABILITY) == first and len(calls) == 3


def test_programs_with_long_names_are_kept_apart(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names have all parts of a model, which can be more than the 255 characters of a file's name."""
    calls: list[str] = []
    monkeypatch.setenv("GRADGYM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(build, "version", lambda _: "0.30.4")
    monkeypatch.setattr(build, "ptx", lambda *_: "text")
    monkeypatch.setattr(build, "assembled", _made(calls))
    one, other = (program._replace(name=f"{program.name}{'_no_part' * 30}_{end}") for end in "ab")
    for given in (one, other, one, other):
        build.binary(given, CAPABILITY)
    assert len(calls) == 2 and len(list(tmp_path.rglob("*.cubin"))) == 2
    assert "not kept" not in capsys.readouterr().err


def test_models_of_one_structure_share_code_and_others_do_not() -> None:
    model = SCENES["Ant"]().model
    same = model.replace(body_mass=2.0 * model.body_mass, timestep=0.001)
    other = SCENES["pendulum"]().model
    one, two, three = (programs(m).rollout for m in (model, same, other))
    assert (one.name, one.arguments) == (two.name, two.arguments)
    assert one.arguments != three.arguments


def test_what_is_missing_is_said_in_one_line(program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADGYM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(extra, "find_spec", lambda _: None)
    with pytest.raises(CudaUnavailableError, match=r'needs the package numba-cuda: pip install "gradgym\[cuda\]"$'):
        build.ptx(program, CAPABILITY)
    scene = SCENES["pendulum"]()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(CudaUnavailableError, match="this torch is a build for the CPU; install the CUDA build"):
        sim.step(scene.model, scene.model.initial_state(), scene.ctrl, device="cuda")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(CudaUnavailableError, match="no NVIDIA GPU, or no driver"):
        sim.rollout(scene.model, scene.model.initial_state(), scene.ctrl[None], device="cuda:0")
    with pytest.raises(ValueError, match='device=\'mps\': the simulator runs on "cpu" or "cuda"'):
        sim.rollout(scene.model, scene.model.initial_state(), scene.ctrl[None], device="mps")
