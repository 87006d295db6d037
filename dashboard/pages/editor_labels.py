"""What the workflow editor calls the fields, options, actions and triggers of the language.

The language decides what there is (`rules/actions`, `rules/language`); these tables only name it for people. A field
without an entry has its own name as its label.
"""

from __future__ import annotations

from rules.actions import ACTIONS
from rules.channels import CHANNELS

#: Label and hint of a field, by `owner.field` or by the field's name; the owner is an action, a trigger or an object.
_FIELDS: dict[str, tuple[str, str]] = {
    "id": ("Name", "Later steps refer to it: {{ steps.name.… }}"),
    "body": ("Text", ""),
    "call_webhook.body": ("Body (JSON)", "Texts in it may be templates."),
    "call_webhook.url": ("URL", "Signed as Standard Webhooks prescribe. Private addresses are refused."),
    "notify.text": ("Text", ""),
    "subject": ("Subject", ""),
    "prompt": ("Prompt", "What the AI is to write. It also gets the conversation."),
    "system": ("Instructions", "Who writes, in which tone, what never to say."),
    "provider": ("AI provider", ""),
    "model": ("Model", "Empty: the workspace's model."),
    "max_tokens": ("Maximum tokens", ""),
    "temperature": ("Temperature", "0 is exact, 2 is free."),
    "fallback": ("Fallback text", "Used where the AI writes nothing or refuses."),
    "format": ("Format", ""),
    "from": ("From", "Empty: the workspace's sender."),
    "reply_to": ("Reply to", ""),
    "headers": ("Headers", ""),
    "max_segments": ("Maximum parts", "An SMS of more parts is refused or cut."),
    "when_too_long": ("If too long", ""),
    "channel": ("Channel", ""),
    "as": ("Send as", ""),
    "buttons": ("Buttons", "At most 3, of 20 characters."),
    "buttons.title": ("Title", ""),
    "buttons.payload": ("Answers", "What the contact's tap says."),
    "buttons.url": ("or opens", ""),
    "quick_replies": ("Quick replies", "One per line."),
    "wait.for": ("For", ""),
    "wait_until.event": ("Event", "contact.replied, or an event that your systems send."),
    "timeout": ("Timeout", "After it, the other path is taken."),
    "branch.if": ("Condition", "Such as contact.attributes.plan == 'pro'"),
    "add_tags": ("Add tags", "One per line."),
    "remove_tags": ("Remove tags", "One per line."),
    "set": ("Set attributes", ""),
    "title": ("Title", ""),
    "due_in": ("Due in", ""),
    "assignee": ("Assignee", ""),
    "retry": ("Automatic retries", ""),
    "retry.max": ("Retries", "0 to 3; empty: 3."),
    "on_unknown": ("If the outcome is unknown", ""),
    "send_at": ("Send at", "A time of day such as 09:00, or a timestamp."),
    "review": ("Ask for approval before sending", ""),
    "track_clicks": ("Count clicks on links", ""),
    "split.variants": ("Variants", ""),
    "variants.name": ("Name", ""),
    "variants.weight": ("Weight", ""),
    # Triggers.
    "where": ("Condition", "Starts only where it is true, such as payload.plan == 'pro'"),
    "cron": ("Schedule", "A cron expression: minute, hour, day, month, weekday."),
    "timezone": ("Time zone", ""),
    "contacts": ("Contacts", "A condition; empty: all contacts."),
    "days": ("Days", ""),
    "posts": ("Posts", "Ids, one per line. Empty: every post."),
    "keywords": ("Keywords", "One per line. Empty: every text."),
    "default": ("Answer when no keyword matches", ""),
    "cooldown": ("Cooldown", "No second answer within this time."),
    "catch_up": ("Catch up", "A missed time is made up for when at most this late."),
    # Rules.
    "tags": ("Tags", ""),
    "tags.all": ("Has all of", "One per line."),
    "tags.any": ("Has one of", "One per line."),
    "tags.none": ("Has none of", "One per line."),
    "daily_limit": ("Daily limit", "Contacts a day, in all."),
    "contact_daily_limit": ("Daily limit per contact", ""),
    "active_hours": ("Active hours", ""),
    "active_hours.start": ("From", "09:00"),
    "active_hours.end": ("To", "21:00"),
    "active_hours.days": ("On", ""),
    "active_hours.timezone": ("Time zone", "contact, workspace, or a name such as Europe/Rome."),
    "outside_hours": ("Outside active hours", ""),
    "rules.where": ("Condition", "Only contacts for whom it is true."),
    "frequency_cap": ("Frequency cap", "Over all automations."),
    "frequency_cap.max": ("Messages", ""),
    "frequency_cap.per": ("in", ""),
    "reentry": ("A contact may enter again", ""),
    "follow_ups": ("Follow-ups", "Sent again while the contact does not reply."),
    "follow_ups.max": ("Maximum", ""),
    "follow_ups.every": ("Every", ""),
    # The document.
    "exclusive": ("Answer alone", "Of several automations that match one event, only one answers."),
    "transactional": ("Transactional e-mail", "Also sent to contacts who unsubscribed: receipts, not offers."),
    "topic": ("E-mail topic", "Recipients can allow and refuse it."),
}

_OPTIONS: dict[str, str] = {
    **{channel.name: channel.label for channel in CHANNELS.values()},
    "text": "Plain text", "html": "HTML", "mjml": "MJML", "message": "Message", "private_reply": "Private reply",
    "hold": "Hold for a decision", "resend": "Send again", "refuse": "Refuse it", "cut": "Cut it", "skip": "Skip",
    "wait": "Wait", "always": "Always", "after_finish": "After finishing", "once": "Never",
    "openai": "OpenAI", "mon": "Mon", "tue": "Tue", "wed": "Wed", "thu": "Thu", "fri": "Fri", "sat": "Sat",
    "sun": "Sun",
}  # fmt: skip

#: What an optional choice does where nothing is selected.
DEFAULT_OPTIONS: dict[str, str] = {
    "format": "Plain text", "as": "Message", "on_unknown": "As the workspace decides", "when_too_long": "Refuse it",
    "outside_hours": "Skip", "reentry": "Always", "provider": "As the workspace decides", "channel": "Instagram",
}  # fmt: skip
#: Flags that are true unless they are set.
TRUE_BY_DEFAULT = frozenset({"exclusive"})

#: Trigger types in the order of the editor's list.
TRIGGERS: dict[str, str] = {
    "instagram.comment": "Instagram comment", "instagram.story_reply": "Instagram story reply",
    "instagram.message": "Instagram message", "facebook.comment": "Facebook comment",
    "facebook.message": "Facebook message", "schedule": "Schedule", "contact.inactive": "Inactive contact",
    "hook": "Webhook", "manual": "Manual",
}  # fmt: skip


def describe_field(owner: str, name: str) -> tuple[str, str]:
    """The label and the hint of a field; `owner` is its action, its trigger or its object."""
    return _FIELDS.get(f"{owner}.{name}") or _FIELDS.get(name) or (_to_words(name), "")


def describe_option(option: str) -> str:
    """An option of a choice in words."""
    return _OPTIONS.get(option) or _to_words(option)


def describe_action(action: object) -> str:
    """An action in words: `Send e-mail`."""
    if not isinstance(action, str):
        return "Unknown step"
    return ACTIONS[action].title if action in ACTIONS else _to_words(action)


def describe_trigger_type(type_: object) -> str:
    """A trigger type in words; an event by its name."""
    return TRIGGERS.get(type_, type_) if isinstance(type_, str) else "No trigger"


def _to_words(name: str) -> str:
    return name.replace("_", " ").capitalize()
