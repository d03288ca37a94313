"""The file of a sweep: rows, choices, names, and what is no sweep."""

import argparse
from pathlib import Path
from typing import Any

import pendulum_table4
import pytest
from snippets import ROOT, blocks

from gradgym import train
from gradgym.agents.sweeps.command_line import configurations
from gradgym.agents.sweeps.settings import Row, applied, load_rows
from gradgym.agents.training.configuration import parse_settings


def rows(path: Path, text: str) -> list[Row]:
    (path / "sweep.yaml").write_text(text)
    return load_rows(path / "sweep.yaml")


def test_a_row_for_each_combination_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = rows(
        tmp_path,
        """
        whole: {enhancement: policy, env_kwargs: {n_links: {choices: [1, 3]}}, gamma: {choices: [0.9, 1.0e-5]}}
        no model!: {model: false}
        """,
    )
    assert [row.name for row in found] == [
        "whole,n_links=1,gamma=0.9",
        "whole,n_links=1,gamma=1e-05",
        "whole,n_links=3,gamma=0.9",
        "whole,n_links=3,gamma=1e-05",
        "no-model",
    ]
    assert found[2].settings == {"enhancement": "policy", "env_kwargs.n_links": 3, "gamma": 0.9}
    assert found[4].settings == {"model": False}


@pytest.mark.parametrize(
    "value", [1e-5, "lin_1e-3", [64, 1e-5], True, None, {}, "a: b", [], "x" * 200 + " " + "y" * 200]
)
def test_values_arrive_as_they_are_in_the_file(value: Any) -> None:
    command = argparse.Namespace(hyperparams=["a.b:1", "a.c:2"], env_kwargs=["n_links:1"], algo="mbpo", env=None)
    settings = {"a.b": value, "env_kwargs.target": value, "algo": "shac", "env_kwargs.n_links": 5}
    found = applied(Row("row", settings), command)
    assert parse_settings(found.hyperparams) == {"a": {"b": value, "c": 2}}
    assert parse_settings(found.env_kwargs) == {"n_links": 5, "target": value}
    assert (found.algo, found.env) == ("shac", None)
    assert (command.algo, command.hyperparams, command.env_kwargs) == ("mbpo", ["a.b:1", "a.c:2"], ["n_links:1"])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no sweep, write a block"),
        ("- a\n- b", "no sweep, write a block"),
        ("a: [", "no sweep, write a block"),
        ("gamma: 0.9", "gamma: is no block of settings"),
        ("a: {seed: 1}", "a: seed: seeds are the command's, --seeds 0 1 2"),
        ("a: {gamma: {choices: 3}}", "a: gamma: choices=3 is no list of values"),
        ("a: {gamma: {choices: []}}", "a: gamma: choices=[] is no list of values"),
        ("a b: {}\na-b: {}", "two rows would have the folder a-b"),
    ],
)
def test_what_is_no_sweep_is_one_line(text: str, part: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        rows(tmp_path, text)
    assert part in str(caught.value) and "sweep.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_the_file_on_the_page_is_of_the_tables_methods(tmp_path: Path) -> None:
    (block,) = [block for block in blocks((ROOT / "docs" / "sweeps.md").read_text()) if block.file]
    (tmp_path / block.file).write_text(block.code)
    words = ["--sweep", str(tmp_path / block.file), "--seeds", "0", "1"]
    expected = [
        (f"{name},n_links={n}", pendulum_table4.run_config(n, method, seed, quick=False))
        for name, method in (("policy-enhancement", "policy"), ("MBPO", "mbpo"), ("SAC", "sac"))
        for n in (1, 3)
        for seed in (0, 1)
    ]
    found = configurations(train._parser().parse_args(words), train._new_config)
    assert found == expected
