"""What counts as a failure: the conditions behind the tabs, groups and search of the page Failures.

A failure is an execution that failed, or one that waits because of an error: for its next retry, for a provider that
limits the rate, or for credentials. Each belongs to exactly one kind besides `any`:

    decision    failed for good, or waits until someone changes the credentials
    automatic   Beckon tries it again by itself
    unknown     failed, and its message may have been sent
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import peewee

from models.expressions import all_of, any_of, is_distinct_from
from models.ids import is_id
from models.search import clean_query, match_words
from models.tables import Contact, Execution
from rules.channels import PROVIDER_NAMES
from rules.errors import BY_CLASS
from rules.stages import WAITS_FOR_ERROR

FailureKind = Literal["any", "decision", "automatic", "unknown"]
FAILURE_KINDS: tuple[FailureKind, ...] = get_args(FailureKind)
#: The class of an execution that waits for credentials, whether its own call or another one's was refused.
CONFIGURATION = "configuration"


def build_failure_scope(kind: FailureKind) -> peewee.Expression:
    """Build the condition of a kind of failure, in the words of the index `executions_failures`."""
    waits = (Execution.status == "waiting") & (
        (Execution.stage == "failed") | Execution.waiting_for.in_(WAITS_FOR_ERROR)
    )
    is_failure: peewee.Expression = (Execution.status == "failed") | waits
    if kind == "any":
        return is_failure
    if kind == "unknown":
        return all_of(is_failure, Execution.status == "failed", Execution.error_class == "unknown_outcome")
    needs_credentials = Execution.waiting_for == CONFIGURATION
    if kind == "decision":
        is_final = (Execution.status == "failed") & (Execution.error_class != "unknown_outcome")
        return all_of(is_failure, is_final | needs_credentials)
    return all_of(is_failure, Execution.status == "waiting", is_distinct_from(Execution.waiting_for, CONFIGURATION))


def build_failure_class(error_class: str) -> peewee.Expression:
    """Build the condition of a group's error class within the failures."""
    needs_credentials: peewee.Expression = Execution.waiting_for == CONFIGURATION
    if error_class == CONFIGURATION:
        return (Execution.error_class == CONFIGURATION) | needs_credentials
    return all_of(Execution.error_class == error_class, is_distinct_from(Execution.waiting_for, CONFIGURATION))


def build_failure_text_condition(q: str) -> peewee.Expression:
    """Build the condition of failures with this id, with a contact that has these words, or with an error, provider or
    code of this name.

    The contact of each failure is compared, because there are fewer failures than contacts.
    """
    if is_id(q):
        return (Execution.id == q) | (Execution.contact_id == q)
    text = clean_query(q)
    conditions = [
        Execution.error_code == text,
        Execution.error_class.in_(_find_classes(text)),
        Execution.provider.in_([name for name in PROVIDER_NAMES if name == text.lower()]),
        _build_contact_match(text),
    ]
    return any_of(*conditions)


def _find_classes(text: str) -> list[str]:
    lowered = text.lower()
    return [name for name, error in BY_CLASS.items() if lowered in (name, error.label.lower())]


def _build_contact_match(text: str) -> Any:
    has_words = peewee.Expression(Contact.search, "@@", match_words(text))
    has_address = (Contact.email == text.lower()) | (Contact.phone == text)
    contact = Contact.select(peewee.SQL("1")).where(Contact.id == Execution.contact_id, has_words | has_address)
    return peewee.fn.exists(contact)
