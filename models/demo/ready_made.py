"""Automations of the gallery that the demo does not start: what most shops and studios need, to be used and changed.

Their events (`invoice.overdue`, `order.delivered`, …) are sent by a shop's own systems; a test invents them. The texts
name `shop.example.com`, which belongs to nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.demo.example import Example

_NAME = "{{ contact.first_name | default: 'there' }}"
_SHOP = "https://shop.example.com"


def _build_email(step_id: str, subject: str, *paragraphs: str, **options: object) -> dict[str, Any]:
    body = "\n\n".join((f"Hello {_NAME},", *paragraphs))
    return {"id": step_id, "action": "send_email", **options, "with": {"subject": subject, "body": body}}


def _build_sms(step_id: str, body: str, **options: object) -> dict[str, Any]:
    return {"id": step_id, "action": "send_sms", **options, "with": {"body": body}}


def _wait_for(
    step_id: str, event: str, timeout: str, then: Sequence[dict[str, Any]], otherwise: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    return {
        "id": step_id,
        "action": "wait_until",
        "with": {"event": event, "timeout": timeout},
        "then": list(then),
        "else": list(otherwise),
    }


def _stop_at(step_id: str, event: str, timeout: str, *otherwise: dict[str, Any]) -> dict[str, Any]:
    """Wait for an event that ends the automation; without it the other steps follow."""
    return _wait_for(step_id, event, timeout, [{"id": f"{step_id}_end", "action": "stop"}], otherwise)


def _build_task(step_id: str, title: str, due_in: str = "1d") -> dict[str, Any]:
    return {"id": step_id, "action": "create_task", "with": {"title": title, "due_in": due_in}}


def _tag(step_id: str, tag: str) -> dict[str, Any]:
    return {"id": step_id, "action": "update_contact", "with": {"add_tags": [tag]}}


WELCOME_SERIES = Example(
    "Welcome series",
    {
        "trigger": {"type": "contact.created"},
        "rules": {"reentry": "once"},
        "topic": "Welcome",
        "steps": [
            _build_email("welcome", "Welcome to the shop", "thank you for signing up. Here is what we make and why."),
            _stop_at("first_pause", "order.paid", "2d"),
            _build_email("bestsellers", "What others like most", f"our three bestsellers: {_SHOP}/best"),
            _stop_at("second_pause", "order.paid", "3d"),
            _build_email("questions", "Any questions?", "reply to this e-mail, and a person answers within a day."),
            _stop_at("third_pause", "order.paid", "5d"),
            _build_email("offer", "Ten percent off your first order", f"use the code HELLO10: {_SHOP}/welcome"),
        ],
    },
    purpose="Sends four e-mails over ten days, and stops when the contact buys.",
    goal="welcome",
)

ABANDONED_PAGE = Example(
    "Abandoned page",
    {
        "trigger": {"type": "pricing.viewed"},
        "rules": {"reentry": "after_finish", "frequency_cap": {"max": 2, "per": "7d"}},
        "steps": [
            _stop_at("ordered", "order.paid", "2h"),
            _build_email(
                "reminder",
                "Do you have a question about our prices?",
                f"you looked at our prices today. Reply to this e-mail, or go back to them: {_SHOP}/pricing",
            ),
            _stop_at("ordered_later", "order.paid", "2d"),
            {
                "id": "has_phone",
                "action": "branch",
                "if": "contact.phone != blank",
                "then": [_build_sms("text", f"Hi {_NAME}, can we help you choose? Our prices: {_SHOP}/pricing")],
                "else": [],
            },
        ],
    },
    purpose="Reminds a contact who left the pricing page and did not order.",
    goal="win_back",
)

INVOICE_OVERDUE = Example(
    "Invoice overdue",
    {
        "trigger": {"type": "invoice.overdue"},
        "transactional": True,
        "steps": [
            _build_email(
                "day_1",
                "Your invoice {{ payload.invoice_number }} is due",
                "the invoice over {{ payload.amount }} was due yesterday. If you have paid it, ignore this e-mail.",
            ),
            _stop_at("paid_by_day_7", "invoice.paid", "6d"),
            _build_email(
                "day_7",
                "Second reminder: invoice {{ payload.invoice_number }}",
                "the invoice over {{ payload.amount }} is still open. Reply to this e-mail if anything is unclear.",
            ),
            _stop_at("paid_by_day_14", "invoice.paid", "7d"),
            _build_sms("day_14", f"Hi {_NAME}, invoice {{{{ payload.invoice_number }}}} is two weeks overdue."),
            _stop_at("paid_at_last", "invoice.paid", "2d"),
            _build_task("call", "Call {{ contact.first_name | default: 'the customer' }} about invoice "
                        "{{ payload.invoice_number }}"),
        ],
    },
    purpose="Reminds on days 1, 7 and 14, stops when the invoice is paid, and creates a task at the end.",
    goal="get_paid",
)  # fmt: skip

INACTIVE_CONTACT = Example(
    "Inactive contact",
    {
        "trigger": {"type": "contact.inactive", "with": {"days": 30}},
        "steps": [
            {
                "id": "write",
                "action": "generate_message",
                "with": {
                    "prompt": "{{ contact.first_name | default: 'A customer' }} has not been in our shop for a month. "
                    "Write two friendly sentences that ask what we can do better. No subject line.",
                    "max_tokens": 300,
                    "fallback": f"Hi {_NAME}, we have not heard from you for a while. What can we do better?",
                },
            },
            {
                "id": "ask",
                "action": "send_email",
                "with": {"subject": "We miss you", "body": "{{ steps.write.text }}"},
            },
            _wait_for("answer", "contact.replied", "7d", [_tag("back", "back")], [_tag("quiet", "quiet")]),
        ],
    },
    purpose="Writes with AI after 30 quiet days, and tags the contacts who reply and those who stay quiet.",
    goal="win_back",
)

BIRTHDAY = Example(
    "Birthday",
    {
        "trigger": {
            "type": "schedule",
            "with": {
                "cron": "0 0 * * *",
                "timezone": "UTC",
                "contacts": "contact.attributes.birthday != blank and now contains contact.attributes.birthday",
            },
        },
        "steps": [
            # On the day itself in every zone: east of UTC, where 09:00 has passed, at once.
            _build_email(
                "greeting",
                f"Happy birthday, {_NAME}",
                f"have a wonderful day! Take fifteen percent off with the code BIRTHDAY15: {_SHOP}",
                send_at="{{ now | date: '%Y-%m-%d' }}T09:00",
            ),
        ],
    },
    purpose="Sends a greeting with a code at 09:00 in the contact's time zone. "
    "The attribute birthday has month and day: 05-04.",
    goal="win_back",
)

REVIEW_REQUEST = Example(
    "Review request",
    {
        "trigger": {"type": "order.delivered"},
        "rules": {"frequency_cap": {"max": 2, "per": "30d"}},
        "steps": [
            {"id": "try_it", "action": "wait", "with": {"for": "5d"}},
            _build_email(
                "ask",
                "How do you like it?",
                f"your order arrived five days ago. Two sentences help others to choose: {_SHOP}/reviews/new",
            ),
            _wait_for(
                "review",
                "review.written",
                "7d",
                [
                    _build_email("thanks", "Thank you for your review", "your words help others to choose."),
                    _tag("reviewer", "reviewer"),
                ],
                [_build_sms("reminder", f"Hi {_NAME}, how do you like your order? Tell us: {_SHOP}/reviews/new")],
            ),
        ],
    },
    purpose="Asks every customer for a review five days after delivery, and once more by SMS.",
    goal="reviews",
)

APPOINTMENT_REMINDER = Example(
    "Appointment reminder",
    {
        "trigger": {"type": "appointment.booked"},
        "transactional": True,
        "steps": [
            _build_email(
                "day_before",
                "Your appointment tomorrow",
                "we look forward to seeing you on {{ payload.starts_at | date: '%d %B at %H:%M', contact.timezone }}.",
                send_at="{{ payload.starts_at | date: '%s' | minus: 86400 | date: '%Y-%m-%dT%H:%M:%SZ' }}",
            ),
            _build_sms(
                "two_hours_before",
                f"Hi {_NAME}, see you at {{{{ payload.starts_at | date: '%H:%M', contact.timezone }}}}. "
                "Reply C if you cannot come.",
                send_at="{{ payload.starts_at | date: '%s' | minus: 7200 | date: '%Y-%m-%dT%H:%M:%SZ' }}",
            ),
            _wait_for(
                "answer",
                "contact.replied",
                "2h",
                [_build_task("check", "Read the reply of {{ contact.first_name | default: 'a contact' }}: it may "
                             "cancel the appointment", "1h")],
            ),
        ],
    },
    purpose="Sends an e-mail the day before and an SMS two hours before, and creates a task for each reply.",
    goal="remind",
)  # fmt: skip

AI_FOLLOW_UP = Example(
    "AI follow-up",
    {
        "trigger": {"type": "instagram.message", "with": {"keywords": ["quote", "booking"]}},
        "rules": {"follow_ups": {"max": 3, "every": "7h"}},
        "steps": [
            {
                "id": "write",
                "action": "generate_message",
                "with": {
                    "prompt": "Answer this conversation as our studio, in one or two friendly sentences. "
                    "Ask what is still missing for a quote. Promise no price.\n"
                    "{% for message in conversation %}{{ message.from }}: {{ message.text }}\n{% endfor %}",
                    "max_tokens": 300,
                    "fallback": f"Hi {_NAME}, thank you for your message! When would you like to come?",
                },
            },
            {
                "id": "answer",
                "action": "send_message",
                "with": {"channel": "instagram", "body": "{{ steps.write.text }}"},
            },
        ],
    },
    type="ai_follow_up",
    purpose="Writes an answer and each follow-up from the conversation, at most three, until the contact replies.",
    goal="answer",
)

READY_MADE = (
    AI_FOLLOW_UP,
    WELCOME_SERIES,
    ABANDONED_PAGE,
    INVOICE_OVERDUE,
    INACTIVE_CONTACT,
    BIRTHDAY,
    REVIEW_REQUEST,
    APPOINTMENT_REMINDER,
)
