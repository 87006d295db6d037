"""What the language knows and this version cannot run yet: refused when publishing, never silently accepted.

One table, so that whoever builds one of these deletes its line here and nothing else.
"""

from __future__ import annotations

#: Actions by name.
ACTIONS = frozenset(
    {
        "replace_text",
        "replace_image",
        "set_attribute",
        "set_style",
        "show",
        "hide",
        "insert_banner",
        "redirect",
        "track_event",
    }
)

#: Trigger types by name.
TRIGGERS = frozenset({"page"})

#: Types of automations.
AUTOMATION_TYPES = frozenset({"playbook"})


def format_message(name: str) -> str:
    """What to say of the part of the language called `name`."""
    return f"this version cannot run {name} yet"
