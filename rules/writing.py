"""Writing a definition as YAML that `rules.reading` reads back as exactly the same document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from rules.reading import Loader


class _Writing(yaml.SafeDumper):
    """PyYAML's safe dumper, which quotes whatever either YAML 1.1 or our reader would take for no text."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *Loader.yaml_implicit_resolvers.get(first, [])]
        for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *Loader.yaml_implicit_resolvers}
    }

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Aliases are not read back."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Several lines stand as they are, where YAML can keep every character of them so.
    style = "|" if "\n" in text and all(line == line.rstrip() for line in text.split("\n")) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writing.add_representer(str, _text)


def write(document: Mapping[str, Any]) -> str:
    """The document as YAML, its fields in their order."""
    return yaml.dump(dict(document), Dumper=_Writing, sort_keys=False, allow_unicode=True, width=100)
