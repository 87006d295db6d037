"""`python -m dashboard.api` prints the OpenAPI document, from which `make clients` generates the clients' types."""

from __future__ import annotations

import sys

from dashboard.api import list_operations, openapi
from rules.json_text import format_json


def main() -> None:
    """Print the document of a server at the default address."""
    document = openapi.build_document(list_operations(), "http://localhost:8080")
    sys.stdout.write(format_json(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
