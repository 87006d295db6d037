"""What the language knows and this version cannot run yet: refused when publishing, never silently accepted.

One table, so that whoever builds one of these deletes its line here and nothing else.
"""

from __future__ import annotations

from rules.actions import PLAYBOOK_ACTIONS

#: Actions by name.
ACTIONS = frozenset(PLAYBOOK_ACTIONS)

#: Trigger types by name.
TRIGGERS = frozenset({"page"})

#: Types of automations.
AUTOMATION_TYPES = frozenset({"playbook"})


def format_message(name: str) -> str:
    """What to say of the part of the language called `name`."""
    return f"this version cannot run {name} yet"
