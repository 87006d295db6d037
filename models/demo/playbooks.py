"""Playbooks of the demo and the gallery: changes to a shop's pages for some of its visitors.

The selectors are those of an invented shop; on a page without such elements an action changes nothing.
"""

from __future__ import annotations

from models.demo.example import Example

NEWSLETTER_BANNER = Example(
    "Newsletter banner",
    {
        "trigger": {
            "type": "page",
            "with": {
                "url": "/pricing*",
                "utm": {"source": "newsletter"},
                "scroll_depth": 50,
                "frequency": {"max": 1, "per": "7d"},
            },
        },
        "steps": [
            {
                "id": "headline",
                "action": "replace_text",
                "with": {"selector": "h1.hero-title", "text": "Welcome back, readers: 20% off"},
            },
            {
                "id": "banner",
                "action": "insert_banner",
                "with": {
                    "position": "top",
                    "text": "Use LUMO20 until Sunday: 20% off every set.",
                    "url": "https://shop.example.com/sets",
                },
            },
            {
                "id": "button",
                "action": "set_style",
                "with": {"selector": "a.plan-cta", "style": {"background": "#2f5d50", "color": "#ffffff"}},
            },
        ],
    },
    type="playbook",
    purpose="Greets newsletter visitors on the pricing page after half a scroll.",
    goal="sell",
)

MOBILE_BUTTON = Example(
    "Mobile call to action",
    {
        "trigger": {"type": "page", "with": {"url": "/*", "device": ["mobile"]}},
        "steps": [
            {
                "id": "text",
                "action": "replace_text",
                "with": {"selector": ".hero .button", "text": "Call us now"},
            },
            {
                "id": "link",
                "action": "set_attribute",
                "with": {"selector": ".hero .button", "name": "href", "value": "/contact#call"},
            },
            {"id": "form", "action": "hide", "with": {"selector": ".hero form"}},
        ],
    },
    type="playbook",
    purpose="Shows phone visitors one short button instead of a form.",
    goal="sell",
)

EXIT_OFFER = Example(
    "Exit offer",
    {
        "trigger": {
            "type": "page",
            "with": {
                "url": "*/cart",
                "device": ["desktop"],
                "time_on_page": "20s",
                "exit_intent": True,
                "frequency": {"max": 1, "per": "30d"},
            },
        },
        "steps": [
            {
                "id": "offer",
                "action": "insert_banner",
                "with": {"position": "bottom", "text": "Free shipping if you order today.", "url": "/checkout"},
            },
            {"id": "note", "action": "track_event", "with": {"name": "Saw the exit offer"}},
        ],
    },
    type="playbook",
    purpose="Offers free shipping to visitors who are about to leave their cart.",
    goal="sell",
)
