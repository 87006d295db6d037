"""Recognises mail that a program wrote: automatic replies, bounces and bulk mail, none of which is a person's answer.

RFC 3834 defines `Auto-Submitted` and the empty return path; RFC 3464 and RFC 8098 define reports. The other headers are
those of Exchange (`X-Auto-Response-Suppress`, [MS-OXCMAIL]), Exim (`X-Failed-Recipients`) and older programs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from email.utils import parseaddr

from rules.json_text import load_json

#: A header and the values, in lower case and without comments, by which a program wrote the mail.
AUTOMATIC_HEADERS: dict[str, re.Pattern[str]] = {
    "auto-submitted": re.compile(r"(?!no\s*(;|$)).+", re.DOTALL),
    "x-auto-response-suppress": re.compile(r"(?!none$).+", re.DOTALL),
    "precedence": re.compile(r"bulk|junk|auto[-_]?reply"),
    "x-autoreply": re.compile(r"(?!no$).*", re.DOTALL),
    "x-autorespond": re.compile(r".*", re.DOTALL),
    "x-failed-recipients": re.compile(r".+", re.DOTALL),
    "content-type": re.compile(r"(multipart/report|message/delivery-status)\s*(;.*)?", re.DOTALL),
    # The envelope's sender: Mailgun's own header, and that of the last server.
    "return-path": re.compile(r"(<\s*>)?"),
    "x-envelope-from": re.compile(r"(<\s*>)?"),
}
#: The local parts of senders that are no person.
_PROGRAMS = frozenset({"mailer-daemon", "postmaster"})
_COMMENT = re.compile(r"\([^()]*\)")


def is_automatic(form: Mapping[str, str]) -> bool:
    """Whether a program wrote the mail of an inbound route's form."""
    is_program = _get_local_part(form.get("from", "")) in _PROGRAMS
    # Mailgun's `sender` is the envelope's; only the sender of a report or an automatic reply is empty.
    has_no_envelope_sender = form.get("sender", "sender").strip() in ("", "<>")
    return is_program or has_no_envelope_sender or any(_is_automatic_header(*header) for header in _iter_headers(form))


def _get_local_part(sender: str) -> str:
    return parseaddr(sender)[1].partition("@")[0].strip().lower()


def _is_automatic_header(name: str, value: str) -> bool:
    pattern = AUTOMATIC_HEADERS.get(name.lower())
    return pattern is not None and pattern.fullmatch(_COMMENT.sub("", value).strip().lower()) is not None


def _iter_headers(form: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the mail's headers: Mailgun sends each as a field, and all as JSON in `message-headers`."""
    yield from form.items()
    try:
        for name, value in load_json(form.get("message-headers") or "[]"):
            yield str(name), str(value)
    except (ValueError, TypeError):
        return
