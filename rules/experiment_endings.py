"""Ends an experiment: the step `split` is replaced by the steps of one variant.

Pure. A definition is a document here, valid or not: only its lists of steps are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from rules.source_edits import Edit
from rules.source_tree import Path


@dataclass(frozen=True)
class Split:
    """A split of a definition: the steps of each variant by name, in the order of the document."""

    step_id: str
    variants: dict[str, list[Any]]


def list_splits(definition: Mapping[str, Any]) -> list[Split]:
    """Return the splits of a definition, those within arms too."""
    return [Split(str(step.get("id")), _read_variants(step)) for _, _, step in _iter_splits(definition)]


def replace_split(definition: Mapping[str, Any], step_id: str, variant: str) -> dict[str, Any] | None:
    """Return a copy of the definition with the steps of the variant instead of the split; None without either."""
    document: dict[str, Any] = deepcopy(dict(definition))
    for path, steps, step in _iter_splits(document):
        if step.get("id") == step_id:
            variants = _read_variants(step)
            if variant not in variants:
                return None
            index = int(path[-1])
            steps[index : index + 1] = variants[variant]
            return document
    return None


def list_edits(definition: Mapping[str, Any], step_id: str, variant: str) -> list[Edit]:
    """Return the same as edits of a text: the steps of the variant move before the split, which is then deleted, so
    that they keep their comments. Empty without the split or the variant."""
    for path, _, step in _iter_splits(definition):
        if step.get("id") == step_id and variant in (variants := _read_variants(step)):
            parent, first = path[:-1], int(path[-1])
            owner = () if _list_variants(step) else ("with",)
            arm = (*owner, "variants", list(variants).index(variant), "steps", 0)
            count = len(variants[variant])
            moves = [Edit("move", (*parent, place, *arm), to=(*parent, place)) for place in range(first, first + count)]
            return [*moves, Edit("delete", (*parent, first + count))]
    return []


def _iter_splits(definition: Mapping[str, Any]) -> Iterator[tuple[Path, list[Any], Mapping[str, Any]]]:
    """Yield each split with its path and the list that holds it."""
    for path, steps in _iter_lists(definition, ()):
        for index, step in enumerate(steps):
            if isinstance(step, Mapping) and step.get("action") == "split":
                yield (*path, index), steps, step


def _iter_lists(container: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, list[Any]]]:
    """Yield the lists of steps in a definition, a step or a variant with their paths, outer ones first."""
    for name in ("steps", "then", "else"):
        steps = container.get(name)
        if isinstance(steps, list):
            yield (*path, name), steps
            for index, step in enumerate(steps):
                if isinstance(step, Mapping):
                    yield from _iter_lists(step, (*path, name, index))
    variants = container.get("variants")
    for index, variant in enumerate(variants if isinstance(variants, list) else ()):
        if isinstance(variant, Mapping):
            yield from _iter_lists(variant, (*path, "variants", index))
    # Actions take the lists among their arguments too.
    arguments = container.get("with")
    if isinstance(arguments, Mapping):
        yield from _iter_lists(arguments, (*path, "with"))


def _list_variants(container: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    variants = container.get("variants")
    return [item for item in variants if isinstance(item, Mapping)] if isinstance(variants, list) else []


def _read_variants(step: Mapping[str, Any]) -> dict[str, list[Any]]:
    arguments = step.get("with")
    variants = _list_variants(step) or (_list_variants(arguments) if isinstance(arguments, Mapping) else [])
    return {str(item.get("name")): list(item.get("steps") or []) for item in variants}
