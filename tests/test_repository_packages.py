"""The package list, the folders, the layers, and the data that an installation carries."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("sim", "envs", "agents")  # each may import those before it
SOURCES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def config() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_package_list_names_every_folder():
    inits = [path for path in SOURCES if path.name == "__init__.py"]
    folders = {".".join(("gradgym", *path.parent.relative_to(ROOT).parts)) for path in inits}
    listed = config()["options"]["packages"].split()
    assert len(listed) == len(set(listed))
    assert set(listed) == folders | {"gradgym"}


def test_every_folder_with_sources_is_a_package():
    for path in SOURCES:
        assert (path.parent / "__init__.py").exists(), f"{path.parent} has no __init__.py"


def test_data_files_are_listed():
    """Whatever lies beside the sources and is not Python must match a package_data pattern."""
    patterns = {package: files.split() for package, files in config()["options.package_data"].items()}
    for layer in LAYERS:
        for path in (ROOT / layer).rglob("*"):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                relative = path.relative_to(ROOT / layer)
                assert any(relative.match(p) for p in patterns.get(f"gradgym.{layer}", [])), f"{path} is not packaged"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down_and_are_relative(path):
    depth = len(path.relative_to(ROOT).parts) - 1
    own_layer = path.relative_to(ROOT).parts[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            assert (node.module or "").split(".")[0] != "gradgym", f"line {node.lineno}: absolute import"
        elif isinstance(node, ast.Import):
            assert all(alias.name.split(".")[0] != "gradgym" for alias in node.names), f"line {node.lineno}"
        if isinstance(node, ast.ImportFrom) and node.level == depth + 1:  # from the package's root
            layers = [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
            for layer in layers:
                assert LAYERS.index(layer) < LAYERS.index(own_layer), f"line {node.lineno} imports {layer}"


def test_torch_enters_the_simulator_in_one_file():
    for path in SOURCES:
        imported = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        }
        if path.relative_to(ROOT).parts[0] == "sim":
            assert "gymnasium" not in imported, path
            assert "torch" not in imported or path.name == "torch_bridge.py", path


def test_import_is_light_and_works_from_anywhere(tmp_path):
    """`import gradgym` registers environments without loading torch or compiling anything."""
    code = "import sys, gradgym, gymnasium; gymnasium.spec('gradgym/NLinkPendulum-v0'); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
    assert found.stderr == ""
