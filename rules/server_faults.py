"""Tells from an error's text how a server does not answer: stopped, hung and refused each have their own remedy."""

from __future__ import annotations

from typing import Literal

#: `stopped`: nothing listens. `hung`: it listens and does not answer in time. `refused`: it answers with an error.
ServerFault = Literal["stopped", "hung", "refused"]

_TIMEOUTS = ("timeout", "timed out", "no answer", "not answer", "is dead")
_NOT_LISTENING = (
    "connection refused", "no such file", "could not translate host name", "name or service not known",
    "error 111", "error 2 ", "error -2 ", "error -3 ",
)  # fmt: skip

#: What was seen of a server, after its name.
SIGHTINGS: dict[ServerFault, str] = {
    "stopped": "does not answer: nothing listens at its address",
    "hung": "does not answer",
    "refused": "refuses connections",
}


def classify_error(error: str) -> ServerFault:
    """Return the fault that a client's error text tells of."""
    text = error.lower()
    if any(words in text for words in _NOT_LISTENING):
        return "stopped"
    return "hung" if any(words in text for words in _TIMEOUTS) else "refused"


def describe_remedy(fault: ServerFault, variable: str, embedded_program: str = "") -> str:
    """Return what to do about a server: the copy's own program, or the one whose URL is in `variable`."""
    if embedded_program:
        return _EMBEDDED_REMEDIES[fault].format(program=embedded_program)
    return _REMEDIES[fault].format(variable=variable)


_REMEDIES: dict[ServerFault, str] = {
    "stopped": "Start the server, or correct the address in {variable}.",
    "hung": "Check the server and the network to it: something at {variable}'s address does not answer in time.",
    "refused": "Correct the user, the password or the name in {variable}, or the server's access rules.",
}
_EMBEDDED_REMEDIES: dict[ServerFault, str] = {
    "stopped": "Read logs/{program}.log in BECKON_HOME: `beckon up` starts it again every few seconds.",
    "hung": "`beckon status` says whether its process is stopped by a signal: `kill -CONT` continues it, and one that "
    "ends is restarted.",
    "refused": "Read logs/{program}.log in BECKON_HOME: it says what it refuses.",
}
