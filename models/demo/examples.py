"""The content of the demo workspace: a dozen contacts, and automations that run completely in the sandbox.

The phone numbers are from the range reserved for fiction, the e-mail domains from those reserved for examples.
"""

from __future__ import annotations

from typing import Any

from models.demo.example import Example
from models.demo.instagram import MESSAGE_EXAMPLES
from models.demo.playbooks import NEWSLETTER_BANNER

_TODAY = "{{ now | date: '%d %B' }}"


WELCOME = Example(
    "Welcome by e-mail",
    {
        "trigger": {"type": "contact.created"},
        "steps": [
            {
                "id": "write",
                "action": "generate_message",
                "with": {
                    "prompt": "Write a short, warm welcome to {{ contact.first_name | default: 'a new customer' }}, "
                    "who has just signed up for our shop. Two sentences, no subject line.",
                    "max_tokens": 300,
                    "fallback": "Hi {{ contact.first_name | default: 'there' }}, good to have you with us!",
                },
            },
            {
                "id": "hello",
                "action": "send_email",
                "with": {
                    "subject": "Welcome, {{ contact.first_name | default: 'friend' }}",
                    "body": "{{ steps.write.text }}",
                },
            },
        ],
    },
    purpose="Sends every new contact a welcome e-mail written by AI.",
    goal="welcome",
)

OVERDUE_INVOICE = Example(
    "Overdue invoice reminder",
    {
        "trigger": {"type": "invoice.overdue", "where": "payload.amount > 0"},
        "rules": {"daily_limit": 500, "contact_daily_limit": 3},
        "steps": [
            {
                "id": "urgent",
                "action": "branch",
                "if": "payload.amount >= 500",
                "then": [
                    {
                        "id": "text_message",
                        "action": "send_sms",
                        "with": {
                            "body": "Hi {{ contact.first_name | default: 'there' }}, your invoice over "
                            "{{ payload.amount }} is overdue. Reply to this message if anything is unclear."
                        },
                    }
                ],
                "else": [
                    {
                        "id": "reminder",
                        "action": "send_email",
                        "with": {
                            "subject": "A friendly reminder",
                            "body": "Hello {{ contact.first_name | default: 'there' }},\n\n"
                            "your invoice over {{ payload.amount }} is waiting to be paid.",
                        },
                    }
                ],
            },
            {"id": "patience", "action": "wait", "with": {"for": "2h"}},
            {
                "id": "call_them",
                "action": "create_task",
                "with": {
                    "title": "Ask {{ contact.first_name | default: 'the customer' }} about the invoice over "
                    "{{ payload.amount }}",
                    "due_in": "1d",
                },
            },
        ],
    },
    purpose="Sends a reminder of an overdue invoice, by SMS if it is large, and creates a task two hours later.",
    goal="get_paid",
)

HOT_LEAD = Example(
    "Hot lead alert",
    {
        "trigger": {"type": "lead.scored", "where": "payload.score >= 80"},
        "steps": [
            {
                "id": "tell_sales",
                "action": "notify",
                "with": {
                    "channel": "slack",
                    "text": "{{ contact.first_name | default: 'Somebody' }} {{ contact.last_name | default: '' }} "
                    "has a score of {{ payload.score }}.",
                },
            },
            {
                "id": "remember",
                "action": "update_contact",
                "with": {"add_tags": ["hot"], "set": {"score": "{{ payload.score }}"}},
            },
        ],
    },
    purpose="Notifies the sales team in Slack when a lead scores 80 or more, and tags the contact.",
    goal="connect",
)

PERSONAL_NOTE = Example(
    "Personal note",
    {
        "trigger": {"type": "manual"},
        "steps": [
            {
                "id": "note",
                "action": "send_sms",
                "with": {
                    "body": "Hi {{ contact.first_name | default: 'there' }}, "
                    "thank you for shopping with us. How was your order?"
                },
            }
        ],
    },
    purpose="Sends an SMS when you start it manually.",
    goal="reviews",
)

DAILY_OFFER = Example(
    "Daily offer to leads",
    {
        "trigger": {
            "type": "schedule",
            "with": {"cron": "0 9 * * *", "contacts": "contact.tags contains 'lead'"},
        },
        "rules": {
            "contact_daily_limit": 1,
            "frequency_cap": {"max": 3, "per": "7d"},
            "active_hours": {"start": "09:00", "end": "20:00", "timezone": "contact"},
            "outside_hours": "wait",
        },
        "steps": [
            {
                "id": "offer",
                "action": "send_email",
                "with": {
                    "subject": f"Today's offer, {_TODAY}",
                    "body": "Good morning {{ contact.first_name | default: 'there' }},\n\n"
                    "everything in the spring collection is ten percent off until tonight.",
                },
            }
        ],
    },
    enabled=False,
    purpose="Sends every lead an e-mail each morning, in their time zone and at most three a week.",
    goal="sell",
)

#: The automation of `beckon demo`: an AI replies to each contact during the day in the contact's time zone, and follows
#: up if no reply comes, while Facebook's messaging window of 24 hours is open.
PRICE_FOLLOW_UP = Example(
    "Price question follow-up",
    {
        "trigger": {"type": "facebook.message", "with": {"keywords": ["price", "cost"]}},
        "rules": {
            "active_hours": {"start": "09:00", "end": "21:00", "timezone": "contact"},
            "follow_ups": {"max": 3, "every": "7h"},
        },
        "steps": [
            {
                "id": "write",
                "action": "generate_message",
                "with": {
                    "prompt": "{{ contact.first_name | default: 'Somebody' }} asked what our spring collection costs. "
                    "Write one friendly sentence that offers help with choosing.",
                    "max_tokens": 200,
                    "fallback": "Hi {{ contact.first_name | default: 'there' }}, can we help you choose?",
                },
            },
            {
                "id": "answer",
                "action": "send_message",
                "with": {"channel": "facebook", "body": "{{ steps.write.text }}"},
            },
        ],
    },
    type="ai_follow_up",
    purpose="Replies with AI to questions about prices on Facebook, and follows up if no reply comes.",
)

EXAMPLES = (
    WELCOME,
    PRICE_FOLLOW_UP,
    OVERDUE_INVOICE,
    HOT_LEAD,
    PERSONAL_NOTE,
    DAILY_OFFER,
    *MESSAGE_EXAMPLES,
    NEWSLETTER_BANNER,
)


def _build_contact(number: int, name: str, zone: str, tags: list[str], **attributes: Any) -> dict[str, Any]:
    first, last = name.split(" ", 1)
    username = f"{first}.{last.replace(' ', '')}".lower()
    return {
        "external_id": f"demo-{number}",
        "first_name": first,
        "last_name": last,
        "username": username,
        "email": f"{username}@example.com",
        "phone": f"+1555550{number:04d}",
        "timezone": zone,
        "tags": tags,
        "attributes": attributes,
    }


#: Under the names of the columns, as `models.contact_matching` takes them.
CONTACTS = (
    _build_contact(101, "Ada Byron", "Europe/London", ["lead", "newsletter"], plan="pro", country="GB", score=72),
    _build_contact(102, "Grace Hopper", "America/New_York", ["customer"], plan="pro", country="US", score=91),
    _build_contact(103, "Katherine Johnson", "America/New_York", ["customer", "vip"], plan="enterprise", country="US"),
    _build_contact(104, "Alan Turing", "Europe/London", ["lead"], plan="free", country="GB", score=55),
    _build_contact(105, "Emmy Noether", "Europe/Berlin", ["customer", "newsletter"], plan="pro", country="DE"),
    _build_contact(
        106, "Sofia Kovalevskaya", "Europe/Stockholm", ["lead", "newsletter"], plan="free", country="SE", score=38
    ),
    _build_contact(107, "Mary Somerville", "Europe/London", ["customer"], plan="starter", country="GB"),
    _build_contact(108, "Srinivasa Ramanujan", "Asia/Kolkata", ["lead"], plan="free", country="IN", score=84),
    _build_contact(109, "Hedy Lamarr", "Europe/Vienna", ["vip"], plan="enterprise", country="AT", score=97),
    _build_contact(110, "Chien-Shiung Wu", "Asia/Shanghai", ["customer", "newsletter"], plan="pro", country="CN"),
    _build_contact(111, "Mae Jemison", "America/Chicago", ["lead"], plan="starter", country="US", score=61),
    _build_contact(112, "Cecilia Payne", "America/Los_Angeles", ["customer"], plan="starter", country="US"),
)
