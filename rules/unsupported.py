"""Lists the parts of the language that this version does not support: rejected at publication, never ignored.

To enable a part once it is built, delete its line here.
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
    """Format the message for an unsupported part of the language."""
    return f"this version does not support {name} yet"
