"""Everything that the client raises, or gives to `on_error`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from beckon_client.schema import FieldProblem


class BeckonError(Exception):
    """Base class of the client's errors."""


class InvalidConfigurationError(BeckonError, ValueError):
    """The URL, the key or an option is missing or wrong; the text names it and never contains the key."""


class InvalidBodyError(BeckonError, ValueError):
    """The trigger or execution cannot be written as JSON, or is larger than 1 MiB. Nothing was buffered."""


class BufferFullError(BeckonError):
    """The buffer had no room in time. The new entry was not buffered; those in the buffer stay."""


class ClientClosedError(BeckonError):
    """The client is closed and takes no more."""


class DeliveryError(BeckonError):
    """One trigger or execution was not delivered.

    `body` is what was to be sent, with its idempotency key, so that it can be stored and sent again. `status` is the
    HTTP status, None without an answer. `errors` are the invalid fields, with paths from the top of `body`.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        errors: Sequence[FieldProblem] = (),
        body: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.errors = list(errors)
        self.body = dict(body or {})
        #: Seconds after which the server wants to be asked again, or None.
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Status, detail and the paths of the invalid fields; neither values nor the key."""
        paths = ", ".join(problem["path"] or "the whole" for problem in self.errors)
        status = "" if self.status is None else f"{self.status}:"
        return " ".join(filter(None, [status, self.detail, paths and f"({paths})"]))


class RejectedError(DeliveryError):
    """Beckon refused it, and would refuse the same again: a wrong field, key or address."""


class UnavailableError(DeliveryError):
    """It was not delivered in time. It may be sent again with the same key: it has one effect."""
