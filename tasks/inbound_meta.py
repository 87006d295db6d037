"""Reads what Meta told us: keeps the conversation, starts automations, wakes who waits, moves our messages on.

The account that a webhook names says whose it is. A person who wrote or commented is a contact from then on. Every
effect is in one transaction with the event's having been read, and the trigger bears the event's id as its key, so an
event that comes again, by whatever door, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import clock
import metrics
from models import account, contact_lookup, contact_matching, conversation, execution, inbound_event, message, workspace
from models.contact_matching import ContactRefused
from models.database import Row, acting_as
from providers.base import Callback
from providers.meta_callbacks import moment_at
from providers.meta_messages import told_of
from rules.contacts import LONGEST_NAME
from rules.facts import moment
from tasks.bells import ring_after_commit
from tasks.callback_moves import STATUS, move
from tasks.follow_ups import REPLIED
from tasks.triggers import Refused, TriggerRequest, accept, body_hash

#: Meta's two channels.
CHANNELS = frozenset({"facebook", "instagram"})
#: The column of a contact that holds the person's id on a channel.
PERSON = {"facebook": "facebook_id", "instagram": "instagram_id"}
#: What is told of our own messages; everything else is what people say and do.
ABOUT_OURS = frozenset({"echo", "read", "delivered"})
#: What came of an event about an account that no workspace has.
UNKNOWN_ACCOUNT = "unknown account"
#: What came of an event that the sandbox signed, about something that is not the sandbox's.
NOT_OF_THE_SANDBOX = "not of the sandbox"
#: The type of trigger that each kind of message is; a mention in a story asks for no answer.
MESSAGES = {"message": "message", "postback": "message", "story_reply": "story_reply"}


class NotRead(Exception):
    """The event cannot be read just now; it stays unread, and the sweep tries again."""


def read(callback: Callback, found: Row | None, at: datetime, *, from_sandbox: bool) -> tuple[str, str | None]:
    """Take in one event: what came of it, in a word, and whose it was. `found` is our message that it is about; `at`
    is the application's time."""
    workspace_id, account_id = _owner(callback, found)
    if workspace_id is None:
        metrics.triggers_total.labels(source="webhook", result="unknown_account").inc()
        return UNKNOWN_ACCOUNT, None
    if found is not None and found["workspace_id"] != workspace_id:
        return "another workspace's message", workspace_id
    if from_sandbox and not workspace.is_demo(workspace_id):
        return _read_of_a_test(callback, workspace_id, found)
    if callback.kind in ABOUT_OURS:
        _move(callback, workspace_id, found, sandbox_only=from_sandbox)
    else:
        with acting_as(workspace_id):
            _hear(_Heard(callback, workspace_id, account_id, at, from_sandbox=from_sandbox))
    return callback.kind, workspace_id


def _read_of_a_test(callback: Callback, workspace_id: str, found: Row | None) -> tuple[str, str | None]:
    """What the sandbox says outside the demo workspace concerns the message of a test alone, and no contact."""
    about = found or _answered(callback)
    if about is None or not about["sandbox"] or about["workspace_id"] != workspace_id:
        return NOT_OF_THE_SANDBOX, None
    if found is not None:
        move(found, callback)
    elif about["contact_id"] and callback.kind in ("replied", "unsubscribed"):
        ring_after_commit(execution.wake_for_events([(about["contact_id"], REPLIED)], tests_only=True))
    return callback.kind, workspace_id


def _owner(callback: Callback, found: Row | None) -> tuple[str | None, str | None]:
    """Workspace and account that an event belongs to; (None, None) where it is nobody's here.

    The sandbox speaks for accounts that nobody has: there the message that the event is about says whose it is.
    """
    ours = account.by_external_id(callback.provider, str(callback.detail["account"]))
    if ours is not None:
        return ours["workspace_id"], ours["id"]
    about = found or _answered(callback)
    return (about["workspace_id"], None) if about is not None and about["sandbox"] else (None, None)


def _move(callback: Callback, workspace_id: str, found: Row | None, *, sandbox_only: bool) -> None:
    """What became of our messages: of one, of several by their ids, or of all up to a moment (Messenger)."""
    if found is not None:
        move(found, callback)
    for mid in _listed(callback.detail.get("mids")):
        other = message.find(callback.provider, mid, None)
        if other is not None and other["workspace_id"] == workspace_id and (other["sandbox"] or not sandbox_only):
            move(other, callback)
    until = moment_at(callback.detail, "until")
    person = contact_lookup.who_wrote(callback.provider, callback.address or "", workspace_id)
    if until is not None and person is not None:
        status, shifted = STATUS[callback.kind], clock.shifted(until)
        message.advance_until(callback.provider, person["id"], status, shifted, sandbox_only=sandbox_only)


def echoed(callback: Callback) -> Row | None:
    """The message whose echo this is, where the echo bears neither our key nor an id that we know: by its text."""
    ours = account.by_external_id(callback.provider, str(callback.detail["account"]))
    if ours is None or not callback.text:
        return None
    person = contact_lookup.who_wrote(callback.provider, callback.address or "", ours["workspace_id"])
    return message.find_unanswered(callback.provider, person["id"], callback.text) if person else None


class _Heard:
    """What a person said or did, with the contact that the person is: locked until the transaction ends."""

    def __init__(
        self, callback: Callback, workspace_id: str, account_id: str | None, at: datetime, *, from_sandbox: bool
    ) -> None:
        self.from_sandbox = from_sandbox
        self.callback, self.workspace_id, self.account_id, self.at = callback, workspace_id, account_id, at
        assert callback.provider_message_id is not None
        self.mid = callback.provider_message_id
        self.channel, self.detail = callback.provider, callback.detail
        self.kind = str(callback.detail.get("as", callback.kind))
        self.contact_id = _contact(callback, workspace_id)
        self.where = (workspace_id, self.contact_id, self.channel, self.mid)

    def keep(self, kind: str) -> Row:
        """Make it a part of the conversation."""
        return conversation.record_received(
            *self.where, kind=kind, text=self.callback.text, at=self.at, account_id=self.account_id
        )

    def forget(self) -> None:
        """Keep the text of an unsent message nowhere, not even raw."""
        inbound_event.forget(self.channel, told_of(str(self.detail["account"]), self.mid), sandbox=self.from_sandbox)

    def wake(self) -> bool:
        """Let go on what waits for an answer of this contact; whether anything did."""
        woken = execution.wake_for_events([(self.contact_id, REPLIED)])
        ring_after_commit(woken)
        return bool(woken)

    def start(self, type_: str, payload: Mapping[str, Any], *, answered: bool = False) -> None:
        """Start what wants it: the same event again finds its key used."""
        request = TriggerRequest(
            type=f"{self.channel}.{type_}",
            contact_id=self.contact_id,
            contact=None,
            payload={**payload, "account": {"id": self.detail["account"]}},
            idempotency_key=self.callback.event_id,
            body_hash=body_hash({"event": self.callback.event_id}),
            answered=answered,
        )
        (answer,) = accept(self.workspace_id, [request], "webhook")
        if isinstance(answer, Refused):
            raise NotRead("; ".join(problem.message for problem in answer.problems))


def _hear(heard: _Heard) -> None:
    contact_matching.note_event([heard.contact_id])
    match heard.callback.kind:
        case "edited":
            conversation.record_edited(*heard.where, heard.callback.text, heard.at)
        case "unsent":
            conversation.record_deleted(*heard.where, heard.at, heard.kind)
            heard.forget()
        case "reacted":
            heard.keep("reaction")
        case "unsubscribed":
            _stop(heard)
        case "comment":
            _comment(heard)
        case _:
            _say(heard)


def _stop(heard: _Heard) -> None:
    heard.keep(heard.kind)
    to = {"workspace_id": heard.workspace_id, "contact_id": heard.contact_id, "test": False, "channel": heard.channel}
    message.suppress({**to, "to_address": heard.callback.address}, "unsubscribed")
    heard.wake()


def _comment(heard: _Heard) -> None:
    kept = heard.keep("comment")
    if kept["deleted_at"] is not None:
        return
    told = {
        "id": heard.mid,
        "text": kept["text"] or "",
        "media_id": heard.detail.get("mediaId"),
        "parent_id": heard.detail.get("parentId"),
        "from": {
            "id": heard.callback.address,
            "username": heard.detail.get("username") or heard.detail.get("name"),
        },
        "live": bool(heard.detail.get("live")),
        "at": moment(heard.at),
    }
    heard.start("comment", {"comment": told})


def _say(heard: _Heard) -> None:
    kept = heard.keep(heard.kind)
    if kept["deleted_at"] is not None:
        heard.forget()
        return
    if heard.kind not in MESSAGES:
        return
    told = {
        "id": heard.mid,
        "text": kept["text"] or "",
        "payload": heard.detail.get("payload"),
        "attachments": heard.detail.get("attachments", []),
        "at": moment(heard.at),
    }
    payload: dict[str, Any] = {"message": told}
    if heard.kind == "story_reply":
        payload["story"] = {"id": None, "url": None, **_mapping(heard.detail.get("story"))}
    heard.start(MESSAGES[heard.kind], payload, answered=heard.wake())


def _contact(callback: Callback, workspace_id: str) -> str:
    """The contact that this person is, made if need be, and locked."""
    assert callback.address is not None
    known = contact_lookup.who_wrote(callback.provider, callback.address, workspace_id) or _whom_we_wrote(
        callback, workspace_id
    )
    fields: dict[str, Any] = {}
    if known is None:
        fields = {PERSON[callback.provider]: callback.address, **_name(callback.detail.get("name"))}
    if username := callback.detail.get("username"):
        fields["username"] = str(username)[:LONGEST_NAME]
    (contact,) = contact_matching.match(workspace_id, [(known["id"] if known else None, fields)])
    if contact is None or isinstance(contact, ContactRefused):
        raise NotRead(contact.message if contact else "nobody was named")
    return str(contact["id"])


def _whom_we_wrote(callback: Callback, workspace_id: str) -> Row | None:
    """Whoever got the message that is answered: an id that is new to us is then another of the same person."""
    about = _answered(callback)
    if about is None or about["workspace_id"] != workspace_id or about["contact_id"] is None:
        return None
    return {"id": about["contact_id"]}


def _answered(callback: Callback) -> Row | None:
    """Our message that a person answered, where Meta names it."""
    answers = callback.detail.get("answers")
    return message.find(callback.provider, str(answers), None) if answers else None


def _name(written: object) -> dict[str, str]:
    """First and last name of a name as a Page shows it."""
    first, _, last = str(written or "").strip().partition(" ")
    parts = {"first_name": first, "last_name": last.strip()}
    return {name: part[:LONGEST_NAME] for name, part in parts.items() if part}


def _listed(found: object) -> list[str]:
    return [str(one) for one in found] if isinstance(found, list) else []


def _mapping(found: object) -> dict[str, Any]:
    return dict(found) if isinstance(found, Mapping) else {}
