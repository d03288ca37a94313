"""The package list in setup.cfg, the folders and the style rules that tools do not check."""

import configparser
from pathlib import Path

ROOT = Path(__file__).parent.parent
LAYERS = ("sim", "envs", "agents")


def _package_folders() -> set[str]:
    inits = [init for layer in LAYERS for init in (ROOT / layer).rglob("__init__.py")]
    return {".".join(("gradgym", *init.parent.relative_to(ROOT).parts)) for init in inits}


def test_package_list_names_every_folder():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = config["options"]["packages"].split()
    assert len(listed) == len(set(listed))
    assert set(listed) == _package_folders() | {"gradgym"}
