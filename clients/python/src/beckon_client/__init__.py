"""Beckon's client for Python: triggers and tracked executions, from threads and from asyncio.

from beckon_client import Client

client = Client()  # BECKON_URL and BECKON_API_KEY
client.trigger("contact.created", contact={"externalId": "c-1", "email": "ada@example.com"})
"""

from beckon_client.async_client import AsyncClient
from beckon_client.client import Client
from beckon_client.configuration import Configuration
from beckon_client.errors import (
    BeckonError,
    BufferFullError,
    ClientClosedError,
    DeliveryError,
    InvalidBodyError,
    InvalidConfigurationError,
    RejectedError,
    UnavailableError,
)
from beckon_client.schema import (
    AcceptedTrigger,
    ContactFields,
    FieldProblem,
    ReportedAction,
    StartedExecution,
    TrackedExecution,
)
from beckon_client.sender import Statistics

__all__ = [
    "AcceptedTrigger",
    "AsyncClient",
    "BeckonError",
    "BufferFullError",
    "Client",
    "ClientClosedError",
    "Configuration",
    "ContactFields",
    "DeliveryError",
    "FieldProblem",
    "InvalidBodyError",
    "InvalidConfigurationError",
    "RejectedError",
    "ReportedAction",
    "StartedExecution",
    "Statistics",
    "TrackedExecution",
    "UnavailableError",
]
