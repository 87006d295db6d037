"""A comment accepts one private reply, however many messages compete for it."""

from __future__ import annotations

from models.engine import private_replies


def test_the_first_message_claims_the_private_reply_and_keeps_it(alices: str) -> None:
    assert private_replies.claim(alices, "instagram", "178", "one")
    assert not private_replies.claim(alices, "instagram", "178", "two")
    assert private_replies.claim(alices, "instagram", "178", "one")


def test_private_replies_of_comments_channels_and_workspaces_are_separate(alices: str, charlies: str) -> None:
    private_replies.claim(alices, "instagram", "178", "one")

    assert private_replies.claim(alices, "instagram", "179", "two")
    assert private_replies.claim(alices, "facebook", "178", "two")
    assert private_replies.claim(charlies, "instagram", "178", "two")
