"""Ends an experiment: the step `split` is replaced by the steps of one variant.

Pure. A definition is a document here, valid or not: only its lists of steps are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Split:
    """A split of a definition: the steps of each variant by name, in the order of the document."""

    step_id: str
    variants: dict[str, list[Any]]


def list_splits(definition: Mapping[str, Any]) -> list[Split]:
    """Return the splits of a definition, those within arms too."""
    return [
        Split(str(step.get("id")), _read_variants(step))
        for steps in _iter_lists(definition)
        for step in steps
        if isinstance(step, Mapping) and step.get("action") == "split"
    ]


def replace_split(definition: Mapping[str, Any], step_id: str, variant: str) -> dict[str, Any] | None:
    """Return a copy of the definition with the steps of the variant instead of the split; None without either."""
    document: dict[str, Any] = deepcopy(dict(definition))
    for steps in _iter_lists(document):
        for index, step in enumerate(steps):
            if isinstance(step, Mapping) and step.get("action") == "split" and step.get("id") == step_id:
                variants = _read_variants(step)
                if variant not in variants:
                    return None
                steps[index : index + 1] = variants[variant]
                return document
    return None


def _iter_lists(container: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Yield the lists of steps in a definition, a step or a variant, outer ones first."""
    for name in ("steps", "then", "else"):
        steps = container.get(name)
        if isinstance(steps, list):
            yield steps
            for step in steps:
                if isinstance(step, Mapping):
                    yield from _iter_lists(step)
    for variant in _list_variants(container):
        yield from _iter_lists(variant)
    # Actions take the lists among their arguments too.
    arguments = container.get("with")
    if isinstance(arguments, Mapping):
        yield from _iter_lists(arguments)


def _list_variants(container: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    variants = container.get("variants")
    return [item for item in variants if isinstance(item, Mapping)] if isinstance(variants, list) else []


def _read_variants(step: Mapping[str, Any]) -> dict[str, list[Any]]:
    arguments = step.get("with")
    variants = _list_variants(step) or (_list_variants(arguments) if isinstance(arguments, Mapping) else [])
    return {str(item.get("name")): list(item.get("steps") or []) for item in variants}
