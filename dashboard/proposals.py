"""Proposes the definition of an automation from a description: written by the workspace's model, else by a template.

A proposal is validated like any text, in another process, and its problems are returned to the model once. Nothing is
saved. Where the model is the sandbox's, the nearest template is the proposal, so that it can be tried without a key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dashboard.access import Caller, consume_draft_limit, current_settings
from dashboard.automation_templates import EMPTY, GOALS, TEMPLATES, Template, split_words
from dashboard.definitions import check_text, get_text
from dashboard.errors import RETRY_AFTER_SECONDS, ProblemError
from rules.definition_text import TextCheck, TextProblem
from rules.errors import Blocked, ConfigurationError, ExecutionError, ProviderTimeout, RateLimited
from rules.language import PLAYBOOK, AutomationType
from rules.serialization import write
from tasks.operators.drafting import READ_SECONDS, Description, DraftWriter

#: The longest description, in characters.
MAX_DESCRIPTION = 2000
_URL = re.compile(r"https?://[^\s'\"<>)\]]+", re.IGNORECASE)
#: Words that say nothing of what an automation does.
_STOP_WORDS = frozenset({
    "and", "the", "for", "with", "when", "then", "their", "them", "they", "that", "this", "from", "who", "our", "your",
    "you", "are", "has", "have", "but", "not", "its", "into", "a", "is", "it", "to", "of",
})  # fmt: skip
#: Letters that two words share at their beginning to count as one: `reminder` and `remind`.
_STEM = 5


@dataclass(frozen=True)
class Proposal:
    """A text with its problems; `document` is None where it cannot be read."""

    name: str
    type: AutomationType
    source: str
    document: Any
    problems: Sequence[TextProblem]
    origin: Literal["model", "template"]

    @property
    def urls(self) -> list[str]:
        """The addresses in it, which an operator should look at."""
        return list(dict.fromkeys(_URL.findall(self.source)))


def propose(call: Caller, text: str, automation: Any = None) -> Proposal:
    """The proposal for a description: of a new automation, or of a change of `automation` (an `AutomationDetail`).

    Raises `ProblemError`: 409 without a model's key, 422 for a refusal, 429, and 503 for a model that does not answer.
    """
    consume_draft_limit(call.workspace_id)
    source = get_text(automation) if automation else None
    type_: AutomationType | None = automation["type"] if automation else None
    if type_ == PLAYBOOK:
        raise ProblemError(422, "This automation is a playbook. Descriptions are only for automations with messages.")
    try:
        writer = DraftWriter(current_settings(), call.workspace_id)
        if writer.is_sandbox:
            return _propose_template(text, automation)
        return _propose_draft(writer, Description(text, source), automation)
    except ExecutionError as error:
        raise _describe_error(error) from None


def _propose_draft(writer: DraftWriter, description: Description, automation: Any) -> Proposal:
    type_: AutomationType = automation["type"] if automation else "workflow"
    draft = writer.write(description)
    checked = check_text(draft, type_)
    if checked.problems and writer.may_correct:
        draft = writer.correct(description, draft, checked.problems)
        checked = check_text(draft, type_)
    return _build(automation["name"] if automation else _name(description.text), draft, checked, "model")


def _propose_template(text: str, automation: Any) -> Proposal:
    type_ = automation["type"] if automation else None
    template = find_nearest(text, type_)
    source = write(template.definition)
    checked = check_text(source, type_ or template.type)
    return _build(automation["name"] if automation else template.name, source, checked, "template")


def _build(name: str, source: str, checked: TextCheck, origin: Literal["model", "template"]) -> Proposal:
    return Proposal(name, checked.automation_type, source, checked.document, checked.problems, origin)


def _name(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59].rsplit(' ', 1)[0]}…"


def find_nearest(text: str, type_: AutomationType | None = None) -> Template:
    """The template that shares the most words with a description; the empty one where none does."""
    words = {word[:_STEM] for word in split_words(text) if len(word) > 2 and word not in _STOP_WORDS}
    fitting = [row for row in TEMPLATES if row.type != PLAYBOOK and type_ in (None, "workflow", row.type)]
    best = max(fitting, key=lambda template: _count_shared(words, template))
    return best if _count_shared(words, best) else EMPTY


def _count_shared(words: set[str], template: Template) -> int:
    """The shared words, those of the name and the trigger counted three times."""
    title = f"{template.name} {template.definition['trigger']['type']}"
    rest = f"{template.purpose} {GOALS[template.goal]} {' '.join(template.channels)}"
    return 3 * len(words & _stem(title)) + len(words & _stem(rest))


def _stem(text: str) -> set[str]:
    return {word[:_STEM] for word in split_words(text) if word not in _STOP_WORDS}


def _describe_error(error: ExecutionError) -> ProblemError:
    """The error in words: what happened, and what to do. Nothing was saved."""
    if isinstance(error, ConfigurationError):
        return ProblemError(409, f"{error.message} Without it, choose a template.")
    if isinstance(error, Blocked):
        return ProblemError(422, "The model refused to write this. Describe it in other words, or choose a template.")
    if isinstance(error, ProviderTimeout):
        sentence = f"The model did not answer within {READ_SECONDS:g} s. Try again, or choose a template."
    elif isinstance(error, RateLimited):
        sentence = "The model's provider accepts no more requests now. Try again in a minute, or choose a template."
    else:
        sentence = "The model gave no usable answer. Try again, or choose a template."
    return ProblemError(503, sentence, retry_after=RETRY_AFTER_SECONDS)
