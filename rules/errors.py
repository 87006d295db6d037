"""Defines every failure of an execution as one tree: whose fault it is, whether to retry, and what to do.

    ExecutionError
    ├── RetryableError            temporary: retried, at most three times
    │   ├── NetworkError          network        nothing reached the provider
    │   ├── ProviderTimeout       timeout        no answer in time, and no effect was possible
    │   ├── RateLimited           rate_limit     the provider asks to slow down, for `retry_after` seconds
    │   └── ProviderUnavailable   provider_5xx   the provider reports a failure of its own
    ├── PermanentError            a retry would fail the same way
    │   ├── InvalidRequest        invalid        the workflow, the contact or the text is wrong
    │   ├── AuthRefused           auth           the receiver of a webhook rejected our signature or key
    │   ├── Blocked               blocked        a safety filter or the recipient refused
    │   ├── Expired               expired        too late to be sent
    │   ├── WindowClosed          window_closed  outside the provider's messaging window
    │   ├── Bug                   bug            an internal error
    │   └── Quarantined           quarantined    three deliveries crashed without a recorded step
    ├── ConfigurationError        configuration  a key is missing or rejected: wait for an operator, count no attempt
    └── UnknownOutcome            unknown_outcome  the request was written and no response came: not resent blindly

Raised by `providers/` and by the steps; `tasks/` turns each into a state change of the execution. Section 5 of the
semantics describes the classes and their consequences. No message contains a secret.
"""

from __future__ import annotations

from typing import ClassVar, Literal

ErrorClass = Literal[
    "network", "timeout", "rate_limit", "provider_5xx", "invalid", "auth", "blocked", "expired", "window_closed", "bug",
    "quarantined", "configuration", "unknown_outcome",
]  # fmt: skip


class ExecutionError(Exception):
    """A failed step. `message` says to an operator what happened and what to do.

    `provider_code` is the provider's own code or HTTP status, if any. `suppress_channel` means that the contact must
    not be messaged on this channel again.
    """

    error_class: ClassVar[ErrorClass] = "bug"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        provider_code: str | None = None,
        retry_after: float | None = None,
        suppress_channel: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.provider_code = provider_code
        #: Seconds that the provider asks us to wait, if any.
        self.retry_after = retry_after
        self.suppress_channel = suppress_channel


class RetryableError(ExecutionError):
    """A temporary failure: the step is retried later."""

    retryable = True


class NetworkError(RetryableError):
    """The provider could not be reached; nothing was written to it."""

    error_class: ClassVar[ErrorClass] = "network"


class ProviderTimeout(RetryableError):
    """A call without a side effect got no response in time."""

    error_class: ClassVar[ErrorClass] = "timeout"


class RateLimited(RetryableError):
    """The provider asked us to slow down. Waiting for the requested time does not use up an attempt."""

    error_class: ClassVar[ErrorClass] = "rate_limit"


class ProviderUnavailable(RetryableError):
    """The provider reported a failure before it accepted anything."""

    error_class: ClassVar[ErrorClass] = "provider_5xx"


class PermanentError(ExecutionError):
    """A failure that the same request would repeat."""


class InvalidRequest(PermanentError):
    """The request, the workflow or the contact's address is wrong."""

    error_class: ClassVar[ErrorClass] = "invalid"


class AuthRefused(PermanentError):
    """The receiver of a webhook rejected our credentials."""

    error_class: ClassVar[ErrorClass] = "auth"


class Blocked(PermanentError):
    """A safety filter, the carrier or the recipient refused the message."""

    error_class: ClassVar[ErrorClass] = "blocked"


class Expired(PermanentError):
    """The message is too old to be sent."""

    error_class: ClassVar[ErrorClass] = "expired"


class WindowClosed(PermanentError):
    """The provider's messaging window for this contact is closed."""

    error_class: ClassVar[ErrorClass] = "window_closed"


class Bug(PermanentError):
    """An internal error; the log has the traceback."""

    error_class: ClassVar[ErrorClass] = "bug"


class Quarantined(PermanentError):
    """Three deliveries in a row crashed without a recorded step between them."""

    error_class: ClassVar[ErrorClass] = "quarantined"


class ConfigurationError(ExecutionError):
    """A key is missing, rejected or expired, or a sender is not verified: an operator must fix it."""

    error_class: ClassVar[ErrorClass] = "configuration"


class UnknownOutcome(ExecutionError):
    """The request was written and no response came: the message may have been sent."""

    error_class: ClassVar[ErrorClass] = "unknown_outcome"


def _find_leaves(cls: type[ExecutionError]) -> list[type[ExecutionError]]:
    leaves = [leaf for child in cls.__subclasses__() for leaf in _find_leaves(child)]
    return leaves or [cls]


#: Every error class by its name, as in `error.class`.
BY_CLASS: dict[str, type[ExecutionError]] = {leaf.error_class: leaf for leaf in _find_leaves(ExecutionError)}
