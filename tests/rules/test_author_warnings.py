"""What the author of a definition is warned of, and that each fix mends it."""

from __future__ import annotations

from copy import deepcopy
from functools import reduce
from typing import Any

import pytest

from dashboard.automation_templates import TEMPLATES
from rules.author_warnings import list_author_warnings
from rules.definition_warnings import DefinitionWarning
from rules.parsing import read
from rules.serialization import write
from rules.source_edits import edit_document, edit_text
from rules.validation import validate

Document = dict[str, Any]

COMMENT = "instagram.comment"
OPENING = {
    "id": "opening",
    "action": "send_message",
    "with": {"channel": "instagram", "body": "Hi", "as": "private_reply"},
}
DM = {"id": "dm", "action": "send_message", "with": {"channel": "instagram", "body": "Hello"}}
MAIL = {"id": "mail", "action": "send_email", "with": {"subject": "Hi", "body": "Hello"}}
SMS = {"id": "sms", "action": "send_sms", "with": {"body": "Hello"}}
NOTE = {"id": "note", "action": "notify", "with": {"channel": "slack", "text": "Ping"}}
WRITE = {"id": "write", "action": "generate_message", "with": {"prompt": "Write"}}
STOP = {"id": "end", "action": "stop"}
FOLLOW = {"id": "follow", "action": "check_follow"}


def build(*steps: Document, on: str = "contact.created", rules: Document | None = None, **with_: Any) -> Document:
    trigger = {"type": on, **({"with": with_} if with_ else {})}
    return {"trigger": trigger, **({"rules": rules} if rules else {}), "steps": list(steps)}


def use(step: Document, **fields: Any) -> Document:
    changed = {name: value for name, value in {**step["with"], **fields}.items() if value is not None}
    return {**step, "with": changed}


def rename(step: Document, step_id: str) -> Document:
    return {**deepcopy(step), "id": step_id}


def wait(duration: str, step_id: str = "pause") -> Document:
    return {"id": step_id, "action": "wait", "with": {"for": duration}}


def await_reply(*then: Document, event: str = "contact.replied", timeout: str = "2h", **arms: Any) -> Document:
    return {
        "id": "answer", "action": "wait_until", "with": {"event": event, "timeout": timeout}, "then": list(then),
        **arms,
    }  # fmt: skip


def branch(condition: str, *then: Document, **arms: Any) -> Document:
    return {"id": "fork", "action": "branch", "if": condition, "then": list(then), **arms}


def generate(*then: Document) -> Document:
    return branch("payload.vip", WRITE, *then)


#: A definition, the path of its warning, a part of its message, and whether a fix mends it.
CASES: dict[str, tuple[Document, str, str, bool]] = {
    "a first message to a commenter": (build(DM, on=COMMENT), "steps.dm.with.channel", "must be a private reply", True),
    "a first message after a public reply on Facebook": (
        build(
            {"id": "public", "action": "reply_comment", "with": {"body": "See"}},
            use(DM, channel="facebook"), on="facebook.comment",
        ),
        "steps.dm.with.channel", "must be a private reply", True,
    ),
    "a message in an arm to a commenter": (
        build(branch("payload.comment.live", DM), on=COMMENT), "steps.dm.with.channel", "must be a private reply",
        True,
    ),
    "a message right after the private reply": (
        build(OPENING, DM, on=COMMENT), "steps.dm.with.channel", "the contact's answer", True,
    ),
    "a message to those who did not answer": (
        build(OPENING, await_reply(NOTE, **{"else": [DM]}), on=COMMENT), "steps.dm.with.channel",
        "the contact's answer",
        True,
    ),
    "a message after both arms of a wait for the reply": (
        build(OPENING, await_reply(timeout="2d"), DM, on=COMMENT), "steps.dm.with.channel", "have not written", True,
    ),
    "a second private reply": (
        build(OPENING, rename(OPENING, "again"), on=COMMENT), "steps.again.with.as", "one per comment", True,
    ),
    "a second private reply after an answer": (
        build(OPENING, await_reply(rename(OPENING, "again")), on=COMMENT), "steps.again.with.as", "one per comment",
        True,
    ),
    "a second private reply on one path": (
        build(branch("payload.comment.live", OPENING), rename(OPENING, "again"), on=COMMENT), "steps.again.with.as",
        "on one path", True,
    ),
    "a late private reply": (build(wait("1w"), OPENING, on=COMMENT), "steps.opening.with.as", "within 7 days", True),
    "a private reply after two waits": (
        build(wait("5d"), wait("3d", "more"), OPENING, on=COMMENT), "steps.opening.with.as", "within 7 days", True,
    ),
    "a private reply to a message": (
        build(OPENING, on="instagram.message"), "steps.opening.with.as", "can never be sent", True,
    ),
    "a private reply on a schedule": (
        build(OPENING, on="schedule", cron="0 9 * * *"), "steps.opening.with.as", "can never be sent", True,
    ),
    "a private reply on the other channel": (
        build(use(OPENING, channel="facebook"), on=COMMENT), "steps.opening.with.channel", "is on Instagram", True,
    ),
    "a public reply to a message": (
        build({"id": "public", "action": "reply_comment", "with": {"body": "See"}}, MAIL, on="facebook.message"),
        "steps.public.action", "can never be sent", True,
    ),
    "a message a day after": (
        build(wait("24h"), DM, on="instagram.message"), "steps.dm.with.channel", "within 24 hours", True,
    ),
    "a message after two waits": (
        build(DM, wait("20h"), wait("5h", "more"), rename(DM, "again"), on="instagram.story_reply"),
        "steps.again.with.channel", "within 24 hours", True,
    ),
    "a message days after another event": (
        build(wait("3d"), use(DM, channel="facebook")), "steps.dm.with.channel", "within 24 hours", True,
    ),
    "a message after a long wait in one arm": (
        build(branch("payload.vip", wait("2d")), DM, on="instagram.message"), "steps.dm.with.channel", "On one path",
        True,
    ),
    "a message after a reply and a long wait": (
        build(OPENING, await_reply(wait("2d"), DM), on=COMMENT), "steps.dm.with.channel", "within 24 hours", True,
    ),
    "a message after an event that is no reply": (
        build(await_reply(NOTE, event="order.paid", timeout="2d", **{"else": [DM]})), "steps.dm.with.channel",
        "within 24 hours", True,
    ),
    "a message to the inactive": (
        build(DM, on="contact.inactive", days=30), "steps.dm.with.channel", "within 24 hours", True,
    ),
    "a follow check on Facebook": (
        build(FOLLOW, use(DM, channel="facebook"), on="facebook.message"), "steps.follow.action", "Only Instagram",
        True,
    ),
    "a follow check beside an e-mail": (build(FOLLOW, MAIL), "steps.follow.action", "Only Instagram", True),
    "a follow check of a commenter": (
        build(OPENING, FOLLOW, branch("steps.follow.following == true", NOTE), on=COMMENT), "steps.follow.action",
        "only after the contact has written", True,
    ),
    "no messages a day": (build(MAIL, rules={"daily_limit": 0}), "rules.daily_limit", "sends nothing", True),
    "no messages a day for a contact": (
        build(MAIL, rules={"contact_daily_limit": 0}), "rules.contact_daily_limit", "no contact", True,
    ),
    "a cap of none": (
        build(MAIL, rules={"frequency_cap": {"max": 0, "per": "7d"}}), "rules.frequency_cap", "no contact", True,
    ),
    "a limit for a contact that is never reached": (
        build(MAIL, rules={"daily_limit": 2, "contact_daily_limit": 5}), "rules.contact_daily_limit", "never reached",
        True,
    ),
    "hours that the schedule never meets": (
        build(
            MAIL, on="schedule", cron="0 3 * * *", timezone="Europe/Rome",
            rules={"active_hours": {"start": "09:00", "end": "18:00", "timezone": "Europe/Rome"}},
        ),
        "rules.active_hours", "never starts within", True,
    ),
    "days that the schedule never meets": (
        build(
            MAIL, on="schedule", cron="0 10 * * 6",
            rules={"active_hours": {"start": "09:00", "end": "18:00", "days": ["mon"], "timezone": "workspace"}},
        ),
        "rules.active_hours", "never starts within", True,
    ),
    "a tag that is needed and excluded": (
        build(MAIL, rules={"tags": {"all": ["lead", "vip"], "none": ["vip", "old"]}}), "rules.tags.none", "nobody",
        True,
    ),
    "tags of which all are excluded": (
        build(MAIL, rules={"tags": {"any": ["lead"], "none": ["vip", "lead"]}}), "rules.tags.any", "nobody", True,
    ),
    "a condition that nobody meets": (build(MAIL, rules={"where": "1 > 2"}), "rules.where", "nobody matches", True),
    "follow-ups a day apart": (
        build(DM, on="instagram.message", rules={"follow_ups": {"max": 1}}), "rules.follow_ups", "Follow-up 1 of 1",
        True,
    ),
    "follow-ups of which the last is late": (
        build(use(DM, channel="facebook"), on="facebook.message", rules={"follow_ups": {"max": 3, "every": "12h"}}),
        "rules.follow_ups", "Follow-up 2 of 3", True,
    ),
    "follow-ups after a private reply": (
        build(OPENING, on=COMMENT, rules={"follow_ups": {"max": 1, "every": "1h"}}), "rules.follow_ups",
        "before the contact has written", True,
    ),
    "follow-ups of no message": (
        build(NOTE, rules={"follow_ups": {"max": 2}}), "rules.follow_ups", "no step sends", True,
    ),
    "follow-ups after stop": (
        build(MAIL, STOP, rules={"follow_ups": {"max": 2}}), "rules.follow_ups", "ends with stop", True,
    ),
    "follow-ups that no answer can stop": (
        build(use(MAIL, **{"from": "Shop <no-reply@example.com>"}), rules={"follow_ups": {"max": 2}}),
        "steps.mail.with.from", "no reply can stop", True,
    ),
    "answers that go to nobody": (
        build(use(MAIL, reply_to="donotreply@example.com"), rules={"follow_ups": {"max": 2}}),
        "steps.mail.with.reply_to", "no reply can stop", True,
    ),
    "a comment on a schedule": (
        build(use(SMS, body="You wrote {{ payload.comment.text }}"), on="schedule", cron="0 9 * * *"),
        "steps.sms.with.body", "gives no payload.comment.text", True,
    ),
    "a comment in the answer to a message": (
        build(use(DM, body="You wrote {{ payload.comment.text | upcase }}"), on="instagram.message"),
        "steps.dm.with.body", "Did you mean payload.message.text?", True,
    ),
    "a field of a comment that does not exist": (
        build(use(OPENING, body="{{ payload.comment.textt }}"), on=COMMENT), "steps.opening.with.body",
        "Did you mean payload.comment.text?", True,
    ),
    "a condition on what the trigger does not give": (
        build(branch("payload.text contains 'red'", OPENING), on=COMMENT), "steps.fork.if",
        "Did you mean payload.comment.text?", True,
    ),
    "a text of another path": (
        build(
            generate(use(SMS, body="{{ steps.write.text }}")),
            rename(use(MAIL, body="{{steps.write.text}}"), "last"),
        ),
        "steps.last.with.body", "Not every path", True,
    ),
    "a text of one variant": (
        build(
            {"id": "ab", "action": "split", "variants": [{"name": "a", "steps": [WRITE]}, {"name": "b", "steps": []}]},
            use(MAIL, body="{{ steps.write.text | strip }}"),
        ),
        "steps.mail.with.body", "Not every path", True,
    ),
    "a comparison with a text that is a boolean": (
        build(FOLLOW, branch("steps.follow.following == 'true'", DM), on="instagram.message"), "steps.fork.if",
        "never 'true'", True,
    ),
    "a comparison with an arm that does not exist": (
        build(await_reply(DM), branch("steps.answer.taken == 'replied'", NOTE), on="instagram.message"),
        "steps.fork.if", "one of 'then', 'else'", False,
    ),
    "a branch that is always taken": (
        build(branch("1 < 2", SMS, NOTE, **{"else": [MAIL]})), "steps.fork.if", "then is always taken", True,
    ),
    "a branch that is never taken": (
        build(branch("1 == 2", SMS), MAIL), "steps.fork.if", "else is always taken", True,
    ),
    "a branch without steps": (build(branch("payload.vip"), MAIL), "steps.fork.action", "changes nothing", True),
    "an SMS of too many parts": (
        build(use(SMS, body="a" * 400, max_segments=2)), "steps.sms.with.body", "needs 3 parts", True,
    ),
    "an SMS with an emoji of too many parts": (
        build(use(SMS, body="😀" * 40 + "{{ contact.first_name }}", max_segments=1)), "steps.sms.with.body", "UCS-2",
        True,
    ),
    "an SMS that Telnyx refuses": (build(use(SMS, body="a" * 2000)), "steps.sms.with.body", "the limit is 10", True),
    "a message that Instagram cuts": (
        build(use(DM, body="word " * 300), on="instagram.message"), "steps.dm.with.body", "1,000 bytes", True,
    ),
    "a message with buttons that is cut": (
        build(
            use(DM, channel="facebook", body="word " * 150, buttons=[{"title": "Yes"}]), on="facebook.message",
        ),
        "steps.dm.with.body", "640 characters", True,
    ),
    "a button's title that is cut": (
        build(use(DM, buttons=[{"title": "Send me the whole link"}]), on="instagram.message"),
        "steps.dm.with.buttons[0].title", "at most 20 characters", True,
    ),
    "a wait at the end": (build(MAIL, wait("2h")), "steps.pause.action", "Nothing follows", True),
    "a wait for an event at the end": (build(MAIL, await_reply()), "steps.answer.action", "Nothing follows", True),
    "a wait at the end of an arm": (
        build(MAIL, branch("payload.vip", NOTE, wait("2h"), STOP)), "steps.pause.action", "Nothing follows", True,
    ),
    "a text that no step uses": (build(WRITE, MAIL), "steps.write.action", "No step uses", True),
    "a step after stop": (build(MAIL, STOP, SMS, NOTE), "steps.sms.action", "never runs", True),
    "a step after two stopped arms": (
        build(branch("payload.vip", STOP, **{"else": [rename(STOP, "halt")]}), MAIL), "steps.mail.action", "never runs",
        True,
    ),
    "a tag that is added and removed": (
        build({"id": "tag", "action": "update_contact", "with": {"add_tags": ["a"], "remove_tags": ["a", "b"]}}),
        "steps.tag.with.remove_tags", 'removes "a"', True,
    ),
}  # fmt: skip


def find(document: Document, path: str, message: str) -> list[DefinitionWarning]:
    return [item for item in list_author_warnings(document) if item.path == path and message in item.message]


@pytest.mark.parametrize("name", CASES)
def test_a_definition_is_warned_of_and_its_fix_mends_it(name: str) -> None:
    document, path, message, is_fixed = CASES[name]
    assert validate(document) == []
    (warning,) = find(document, path, message)
    assert (warning.fix is not None) is is_fixed
    if warning.fix is None:
        return
    fixed = reduce(edit_document, warning.fix.edits, document)
    assert validate(fixed) == []
    assert find(fixed, path, message) == []
    assert read(edit_text(write(document), warning.fix.edits)) == fixed


SILENT: dict[str, Document] = {
    "an answer to a message": build(DM, wait("23h"), rename(DM, "again"), on="instagram.message"),
    "a private reply and a message to those who answer": build(OPENING, await_reply(DM, timeout="7d"), on=COMMENT),
    "another event that is no message": build(DM),
    "a message where a condition asks for the reply": build(
        OPENING, await_reply(timeout="2d"), branch("steps.answer.taken == 'then'", DM), on=COMMENT
    ),
    "an own event with a comment": build(OPENING, on="comment.imported"),
    "follow-ups within the window": build(
        use(DM, channel="facebook"), on="facebook.message", rules={"follow_ups": {"max": 3, "every": "7h"}}
    ),
    "follow-ups by e-mail": build(MAIL, rules={"follow_ups": {"max": 3, "every": "3d"}}),
    "hours in another zone than the schedule": build(
        MAIL, on="schedule", cron="0 3 * * *", rules={"active_hours": {"start": "09:00", "end": "18:00"}}
    ),
    "hours that one tick of many meets": build(
        MAIL, on="schedule", cron="0 * * * *",
        rules={"active_hours": {"start": "09:00", "end": "10:00", "timezone": "workspace"}},
    ),
    "a payload of an own event": build(use(SMS, body="{{ payload.comment.text }}")),
    "a variable with a default": build(
        use(SMS, body="{{ payload.comment.text | default: '' }}"), on="schedule", cron="0 9 * * *"
    ),
    "a variable that a tag tests": build(
        generate(), use(MAIL, body="{% if steps.write.text %}{{ steps.write.text }}{% endif %}")
    ),
    "a wait before follow-ups": build(MAIL, wait("2h"), rules={"follow_ups": {"max": 1}}),
    "a wait that keeps the contact in flight": build(MAIL, wait("2h"), rules={"reentry": "after_finish"}),
    "an SMS that may be cut": build(use(SMS, body="a" * 2000, when_too_long="cut")),
    "an empty variant beside another": build(
        {"id": "ab", "action": "split", "variants": [{"name": "a", "steps": [MAIL]}, {"name": "b", "steps": []}]}
    ),
    "a branch that is switched by a literal": build(branch("true", SMS), MAIL),
    "limits of zero follow-ups": build(MAIL, rules={"follow_ups": {"max": 0}}),
}  # fmt: skip


@pytest.mark.parametrize("name", SILENT)
def test_a_definition_that_works_is_not_warned_of(name: str) -> None:
    assert validate(SILENT[name]) == []
    assert list_author_warnings(SILENT[name]) == []


def test_no_template_of_the_gallery_has_a_warning() -> None:
    assert [(item.name, list_author_warnings(item.definition)) for item in TEMPLATES] == [
        (item.name, []) for item in TEMPLATES
    ]


def test_an_sms_has_no_link_to_unsubscribe() -> None:
    (problem,) = validate(build(use(SMS, body="{{ unsubscribe_url }}")))
    assert "unsubscribe_url" in problem.message
