"""Every failure of an execution, as one tree: whose fault it is, whether to try again, and what to do.

    ExecutionError
    ├── RetryableError            passes by itself: tried again, at most three times
    │   ├── NetworkError          network        nothing reached the provider
    │   ├── ProviderTimeout       timeout        no answer in time, and no effect was possible
    │   ├── RateLimited           rate_limit     asked to slow down; `retry_after` says for how long
    │   └── ProviderUnavailable   provider_5xx   the provider failed by its own account
    ├── PermanentError            trying again would give the same answer
    │   ├── InvalidRequest        invalid        the workflow, the contact or the text is wrong
    │   ├── AuthRefused           auth           the receiver of a webhook refused our signature or key
    │   ├── Blocked               blocked        a safety filter or the recipient said no
    │   ├── Expired               expired        too late to be sent
    │   ├── WindowClosed          window_closed  outside the provider's messaging window
    │   ├── Bug                   bug            our own mistake
    │   └── Quarantined           quarantined    three deliveries died without a step recorded
    ├── ConfigurationError        configuration  a key is missing or refused: wait for the operator, count nothing
    └── UnknownOutcome            unknown_outcome  the request was written and no answer came: never sent blindly again

Raised by `providers/` and by the steps; read by `tasks/`, which turns one into a move of the execution. The classes
and what follows from each are section 5 of the semantics; no class holds a secret in its message.
"""

from __future__ import annotations

from typing import ClassVar, Literal

ErrorClass = Literal[
    "network", "timeout", "rate_limit", "provider_5xx", "invalid", "auth", "blocked", "expired", "window_closed", "bug",
    "quarantined", "configuration", "unknown_outcome",
]  # fmt: skip


class ExecutionError(Exception):
    """A failed step. `message` is for an operator: what happened and what to do.

    `provider_code` is the provider's own code or HTTP status, if it gave one. `suppress_channel` says that the
    contact must not be written to on this channel again.
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
        #: Seconds the provider asked us to wait, if it said.
        self.retry_after = retry_after
        self.suppress_channel = suppress_channel


class RetryableError(ExecutionError):
    """A fault that passes: the step is tried again later."""

    retryable = True


class NetworkError(RetryableError):
    """The provider could not be reached; nothing was written to it."""

    error_class: ClassVar[ErrorClass] = "network"


class ProviderTimeout(RetryableError):
    """No answer in time from a call that has no outside effect."""

    error_class: ClassVar[ErrorClass] = "timeout"


class RateLimited(RetryableError):
    """The provider asked us to slow down. Waiting as long as it says does not use up an attempt."""

    error_class: ClassVar[ErrorClass] = "rate_limit"


class ProviderUnavailable(RetryableError):
    """The provider answered that it failed, before it accepted anything."""

    error_class: ClassVar[ErrorClass] = "provider_5xx"


class PermanentError(ExecutionError):
    """A fault that the same request would meet again."""


class InvalidRequest(PermanentError):
    """The request, the workflow or the contact's address is wrong."""

    error_class: ClassVar[ErrorClass] = "invalid"


class AuthRefused(PermanentError):
    """A webhook's receiver refused us."""

    error_class: ClassVar[ErrorClass] = "auth"


class Blocked(PermanentError):
    """A safety filter, the carrier or the recipient refused the message."""

    error_class: ClassVar[ErrorClass] = "blocked"


class Expired(PermanentError):
    """The message became too old to be sent."""

    error_class: ClassVar[ErrorClass] = "expired"


class WindowClosed(PermanentError):
    """The provider's messaging window for this contact is closed."""

    error_class: ClassVar[ErrorClass] = "window_closed"


class Bug(PermanentError):
    """Our own mistake; the log holds the trace."""

    error_class: ClassVar[ErrorClass] = "bug"


class Quarantined(PermanentError):
    """Three deliveries in a row died with nothing recorded between them."""

    error_class: ClassVar[ErrorClass] = "quarantined"


class ConfigurationError(ExecutionError):
    """A key is missing, refused or expired, or a sender is not verified: the operator's to mend."""

    error_class: ClassVar[ErrorClass] = "configuration"


class UnknownOutcome(ExecutionError):
    """The request was written and its answer never came: it may have been sent."""

    error_class: ClassVar[ErrorClass] = "unknown_outcome"


def _find_leaves(cls: type[ExecutionError]) -> list[type[ExecutionError]]:
    leaves = [leaf for child in cls.__subclasses__() for leaf in _find_leaves(child)]
    return leaves or [cls]


#: Every error class by its name, as it stands in `error.class`.
BY_CLASS: dict[str, type[ExecutionError]] = {leaf.error_class: leaf for leaf in _find_leaves(ExecutionError)}
