"""Serializes a definition as YAML that `rules.parsing` reads back as exactly the same document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from rules.parsing import Loader


class DefinitionDumper(yaml.SafeDumper):
    """PyYAML's safe dumper; it quotes strings that YAML 1.1 or our parser would read as another type."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *Loader.yaml_implicit_resolvers.get(first, [])]
        for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *Loader.yaml_implicit_resolvers}
    }

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Disable aliases: the parser rejects them."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # A block scalar for several lines, if YAML preserves every character in it.
    style = "|" if "\n" in text and all(line == line.rstrip() for line in text.split("\n")) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


DefinitionDumper.add_representer(str, _represent_text)


# The database does not preserve the order of an object's fields; for readability these come first and last.
_FIRST = ("trigger", "exclusive", "rules", "id", "action", "type", "name", "weight", "if", "where", "subject", "prompt")
_LAST = ("body", "with", "retry", "on_unknown", "then", "else", "variants", "steps")


def rank_field(name: str) -> int:
    """Return the place of a field among those of its object: smaller ones come first."""
    return _FIRST.index(name) - len(_FIRST) if name in _FIRST else _LAST.index(name) + 1 if name in _LAST else 0


def sort_fields(value: Any) -> Any:
    """Return the value with the fields of its objects in the order in which a person would write them."""
    if isinstance(value, Mapping):
        return {name: sort_fields(value[name]) for name in sorted(value, key=rank_field)}
    return [sort_fields(item) for item in value] if isinstance(value, list) else value


def write(document: Mapping[str, Any]) -> str:
    """Serialize the document as YAML, its fields in the order in which a person would write them."""
    return yaml.dump(sort_fields(document), Dumper=DefinitionDumper, sort_keys=False, allow_unicode=True, width=100)
