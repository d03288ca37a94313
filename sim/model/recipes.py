"""Parts of `Model` that a changed copy of it shares, unless something that they are made of changed."""

from collections.abc import Callable, Sequence, Set
from typing import Any, NamedTuple

from .source import Source


class Made(dict[str, Any]):
    """Fields made so far, by name; `read` collects the names of those that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read = set[str]()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)


Recipe = Callable[[Source, Made], dict[str, Any]]


class Portion(NamedTuple):
    """What a recipe made, and of what: names of MuJoCo's fields, and of fields that other recipes made."""

    fields: dict[str, Any]
    sources: Set[str]
    others: Set[str]


def follow(
    recipes: Sequence[Recipe], m: Source, before: Sequence[Portion], changed: Set[str]
) -> tuple[list[Portion], dict[str, Any]]:
    """The portions of `m`, in the order of the recipes, and the fields that are not those of `before`.

    `before` has the portions of a model that differs from `m` in fields named `changed`; none: all are made.
    """
    made, new, portions = Made(), dict[str, Any](), list[Portion]()
    for i, recipe in enumerate(recipes):
        if before and not (before[i].sources & changed or before[i].others & new.keys()):
            portion = before[i]
        else:
            m.read.clear()
            made.read.clear()
            portion = Portion(recipe(m, made), frozenset(m.read), frozenset(made.read))
            new.update(portion.fields)
        portions.append(portion)
        made.update(portion.fields)
    return portions, new
