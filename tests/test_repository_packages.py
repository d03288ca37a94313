"""The package list, the folders, and the data that an installation carries."""

import configparser
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LAYERS = ("sim", "envs", "agents")
SOURCES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def config() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_package_list_names_every_folder() -> None:
    inits = [path for path in SOURCES if path.name == "__init__.py"]
    folders = {".".join(("gradgym", *path.parent.relative_to(ROOT).parts)) for path in inits}
    listed = config()["options"]["packages"].split()
    assert len(listed) == len(set(listed))
    assert set(listed) == folders | {"gradgym"}


def test_every_folder_with_sources_is_a_package() -> None:
    for path in SOURCES:
        assert (path.parent / "__init__.py").exists(), f"{path.parent} has no __init__.py"


def test_data_files_are_listed() -> None:
    """Whatever lies beside the sources and is not Python must match a package_data pattern."""
    patterns = {package: files.split() for package, files in config()["options.package_data"].items()}
    for layer in LAYERS:
        for path in (ROOT / layer).rglob("*"):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                relative = path.relative_to(ROOT / layer)
                assert any(relative.match(p) for p in patterns.get(f"gradgym.{layer}", [])), f"{path} is not packaged"


def test_import_is_light_and_works_from_anywhere(tmp_path: Path) -> None:
    """`import gradgym` registers environments without loading torch or compiling anything."""
    code = "import sys, gradgym, gymnasium; gymnasium.spec('gradgym/NLinkPendulum-v0'); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
    assert found.stderr == ""
