"""Defines every failure of an execution as one tree: whose fault it is, whether to retry, and what to do.

    ExecutionError
    ├── RetryableError      temporary: retried, at most three times
    ├── PermanentError      a retry would fail the same way
    ├── ConfigurationError  a key is missing or rejected: wait for an operator, count no attempt
    └── UnknownOutcome      the request was written and no response came: not resent blindly

A leaf of the tree is the one row of its error class, with its name, its label and its remedy; every list of error
classes is derived from `BY_CLASS`. Raised by `providers/` and by the steps; `tasks/` turns each into a state change of
the execution. Section 5 of the semantics describes the classes and their consequences. No message contains a secret.
"""

from __future__ import annotations

from typing import ClassVar, Literal

#: The names, for the type checker alone, which refuses a leaf whose name is missing here.
ErrorClass = Literal[
    "network", "timeout", "rate_limit", "provider_5xx", "invalid", "auth", "blocked", "expired", "window_closed", "bug",
    "quarantined", "configuration", "unknown_outcome",
]  # fmt: skip
#: Who has to change something before the step can succeed: `operator` means the automation or the settings.
Fault = Literal["network", "provider", "operator", "contact", "beckon"]
#: What ends a failure that is not retried automatically: a change by someone, or nothing.
Recovery = Literal["after_fix", "never"]


class ExecutionError(Exception):
    """A failed step. `message` says to an operator what happened and what to do.

    `provider_code` is the provider's own code or HTTP status, if any. `suppress_channel` means that the contact must
    not be messaged on this channel again.
    """

    error_class: ClassVar[ErrorClass]
    #: On pages, at the beginning of a line.
    label: ClassVar[str]
    fault: ClassVar[Fault]
    retryable: ClassVar[bool] = False
    #: What to do, in a few words for lists.
    short_remedy: ClassVar[str]
    #: What to do, in sentences for the page of the execution; None where that page offers the decision itself.
    remedy: ClassVar[str | None] = None
    #: What happened, of many executions, with the provider's label; empty for "label: provider".
    headline: ClassVar[str] = ""
    recovery: ClassVar[Recovery] = "after_fix"
    #: What the recovery needs, or why there is none, in a few words.
    recovery_hint: ClassVar[str] = "needs a fix"

    def __init__(
        self,
        message: str,
        *,
        provider_code: str | None = None,
        retry_after: float | None = None,
        suppress_channel: bool = False,
        timed_out: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.provider_code = provider_code
        #: Seconds that the provider asks us to wait, if any.
        self.retry_after = retry_after
        self.suppress_channel = suppress_channel
        #: Whether the provider let the time of the call pass without an answer.
        self.timed_out = timed_out


class RetryableError(ExecutionError):
    """A temporary failure: the step is retried later."""

    retryable = True
    recovery_hint = "all retries are used"


class NetworkError(RetryableError):
    """The provider could not be reached; nothing was written to it."""

    error_class = "network"
    label = "Network"
    headline = "{provider} cannot be reached"
    fault = "network"
    short_remedy = "Retry when the provider responds"
    remedy = "Check that this machine can reach the provider, then retry. A retry resumes at the failed step."


class ProviderTimeout(RetryableError):
    """A call without a side effect got no response in time."""

    error_class = "timeout"
    label = "Timeout"
    headline = "{provider} is not answering"
    fault = "provider"
    short_remedy = "Retry when the provider responds"
    remedy = "The provider took too long to respond. A retry resumes at the failed step."


class RateLimited(RetryableError):
    """The provider asked us to slow down. Waiting for the requested time does not use up an attempt."""

    error_class = "rate_limit"
    label = "Rate limit"
    headline = "{provider} limits the rate"
    fault = "provider"
    short_remedy = "Retry when the rate limit allows"
    remedy = "The provider limits the message rate. Retry later; a retry resumes at the failed step."


class ProviderUnavailable(RetryableError):
    """The provider reported a failure before it accepted anything."""

    error_class = "provider_5xx"
    label = "Provider error"
    headline = "{provider} reports an error of its own"
    fault = "provider"
    short_remedy = "Retry when the provider recovers"
    remedy = "Check the provider's status page, then retry. A retry resumes at the failed step."


class PermanentError(ExecutionError):
    """A failure that the same request would repeat."""


class InvalidRequest(PermanentError):
    """The request, the workflow or the contact's address is wrong."""

    error_class = "invalid"
    label = "Invalid"
    headline = "The request is not valid"
    recovery_hint = "needs a correction"
    fault = "operator"
    short_remedy = "Fix the problem, then trigger again"
    remedy = "Fix the step or the contact's address. A retry stays on this version: publish, then trigger again."


class AuthRefused(PermanentError):
    """The receiver of a webhook rejected our credentials."""

    error_class = "auth"
    label = "Invalid credentials"
    headline = "The receiver rejects the credentials"
    recovery_hint = "needs another key"
    fault = "operator"
    short_remedy = "Fix the webhook's key, then retry"
    remedy = "The webhook endpoint rejected the request. Fix its key or URL, then retry."


class Blocked(PermanentError):
    """A safety filter, the carrier or the recipient refused the message."""

    error_class = "blocked"
    label = "Blocked"
    headline = "{provider} blocked the message"
    recovery = "never"
    recovery_hint = "the same text would be refused"
    fault = "operator"
    short_remedy = "Change the prompt or the text, then trigger again"
    remedy = "The same text would be rejected again. Change the prompt or the text, then trigger again."


class Expired(PermanentError):
    """The message is too old to be sent."""

    error_class = "expired"
    label = "Expired"
    headline = "The message expired"
    recovery = "never"
    recovery_hint = "too late to be sent"
    fault = "operator"
    short_remedy = "Trigger again if still relevant"
    remedy = "The message expired before it could be sent. Trigger again if it is still relevant."


class WindowClosed(PermanentError):
    """The provider's messaging window for this contact is closed."""

    error_class = "window_closed"
    label = "Window closed"
    headline = "The messaging window is closed"
    recovery_hint = "when the contact writes"
    fault = "contact"
    short_remedy = "The contact must message first"
    remedy = "The contact must message you first. Their next message opens the window."


class Bug(PermanentError):
    """An internal error; the log has the traceback."""

    error_class = "bug"
    label = "Internal error"
    headline = "Beckon failed"
    recovery_hint = "retry once, then report it"
    fault = "beckon"
    short_remedy = "Retry once, then report it"
    remedy = "Retry once. If it fails again, report it with this execution's id. The log has the stack trace."


class Quarantined(PermanentError):
    """Three deliveries in a row crashed without a recorded step between them."""

    error_class = "quarantined"
    label = "Quarantined"
    headline = "Workers crashed three times in a row"
    recovery_hint = "check the log first"
    fault = "beckon"
    short_remedy = "Check the log before a retry"
    remedy = "It crashed three workers in a row. Check the worker logs before a retry."


class ConfigurationError(ExecutionError):
    """A key is missing, rejected or expired, or a sender is not verified: an operator must fix it."""

    error_class = "configuration"
    label = "Configuration"
    headline = "{provider} needs working credentials"
    recovery_hint = "when the credentials change"
    fault = "operator"
    short_remedy = "Fix the credentials"
    remedy = "Fix the credentials. It then continues automatically; nothing is lost for 24 hours."


class UnknownOutcome(ExecutionError):
    """The request was written and no response came: the message may have been sent."""

    error_class = "unknown_outcome"
    label = "Outcome unknown"
    fault = "network"
    short_remedy = "Decide whether it was sent"


def _find_leaves(cls: type[ExecutionError]) -> list[type[ExecutionError]]:
    leaves = [leaf for child in cls.__subclasses__() for leaf in _find_leaves(child)]
    return leaves or [cls]


#: Every error class by its name, as in `error.class`.
BY_CLASS: dict[str, type[ExecutionError]] = {leaf.error_class: leaf for leaf in _find_leaves(ExecutionError)}
