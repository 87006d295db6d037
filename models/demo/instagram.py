"""The demo's Instagram automations, usable as they are or as templates: comment to DM, story reply, and responders to
direct messages.

They have keywords of their own, and the default responder is disabled, so that they do not interfere with other
automations. Instagram allows one private reply to a commenter; only the commenter's answer opens the conversation, and
only then can Instagram report whether they follow.
"""

from __future__ import annotations

from models.demo.example import Example

_NAME = "{{ contact.first_name | default: contact.username | default: 'there' }}"
_LINK = "https://shop.example.com/spring"


def _build_message_step(step_id: str, body: str, **options: object) -> dict[str, object]:
    return {"id": step_id, "action": "send_message", "with": {"channel": "instagram", "body": body, **options}}


COMMENT_TO_DM = Example(
    "Comment to DM",
    {
        "trigger": {"type": "instagram.comment", "with": {"keywords": ["spring", "collection"]}},
        "steps": [
            {
                "id": "thanks",
                "action": "reply_comment",
                "with": {"body": "Thank you! Check your direct messages: we have sent you one."},
            },
            _build_message_step(
                "opening",
                f"Hi {_NAME}, you like our spring collection? Shall we send you the link?",
                **{"as": "private_reply", "buttons": [{"title": "Send me the link", "payload": "SEND_LINK"}]},
            ),
            {
                "id": "answer",
                "action": "wait_until",
                "with": {"event": "contact.replied", "timeout": "7d"},
                "then": [
                    {"id": "follow", "action": "check_follow"},
                    {
                        "id": "fork",
                        "action": "branch",
                        "if": "steps.follow.following == false",
                        "then": [
                            _build_message_step(
                                "link_and_ask", f"Here it is: {_LINK}. Follow us, and you will see the next one first!"
                            )
                        ],
                        "else": [_build_message_step("link", f"Here it is, {_NAME}: {_LINK}")],
                    },
                ],
                "else": [],
            },
        ],
    },
    type="comment_to_dm",
    purpose="Replies to a comment publicly and once privately, and sends the link to contacts who answer.",
)

STORY_REPLY = Example(
    "Story reply",
    {
        "trigger": {"type": "instagram.story_reply", "with": {"keywords": ["spring", "collection", "love"]}},
        "rules": {"contact_daily_limit": 1},
        "steps": [
            _build_message_step(
                "thanks", f"Thank you for your answer to our story, {_NAME}! Everything in it is here: {_LINK}"
            ),
            {"id": "remember", "action": "update_contact", "with": {"add_tags": ["story"]}},
        ],
    },
    type="story_reply",
    purpose="Thanks contacts who reply to your story with one of your keywords, and tags them.",
)

KEYWORD_RESPONDER = Example(
    "DM responder: spring collection",
    {
        "trigger": {
            "type": "instagram.message",
            "with": {"keywords": ["spring", "collection"], "cooldown": "10m"},
        },
        "steps": [_build_message_step("link", f"Hi {_NAME}, everything about the spring collection is here: {_LINK}")],
    },
    type="dm_responder",
    purpose="Replies to a direct message that contains one of your keywords, at most every ten minutes.",
)

DEFAULT_RESPONDER = Example(
    "DM responder: everything else",
    {
        "trigger": {"type": "instagram.message", "with": {"default": True, "cooldown": "12h"}},
        "steps": [
            _build_message_step(
                "menu",
                f"Hi {_NAME}, thank you for your message! Somebody will answer soon. What is it about?",
                quick_replies=["Spring collection", "My order"],
            ),
            {
                "id": "tell_us",
                "action": "create_task",
                "with": {"title": "Answer {{ contact.username | default: 'a message' }} on Instagram", "due_in": "1d"},
            },
        ],
    },
    enabled=False,
    type="dm_responder",
    purpose="Replies with a choice to messages that no other automation answers, and creates a task for you.",
)

MESSAGE_EXAMPLES = (COMMENT_TO_DM, STORY_REPLY, KEYWORD_RESPONDER, DEFAULT_RESPONDER)
