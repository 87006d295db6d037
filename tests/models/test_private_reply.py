"""A comment takes one private reply, however many messages want to be it."""

from __future__ import annotations

from models.engine import private_replies


def test_the_first_message_has_the_comment_and_keeps_it(alices: str) -> None:
    assert private_replies.claim(alices, "instagram", "178", "one")
    assert not private_replies.claim(alices, "instagram", "178", "two")
    assert private_replies.claim(alices, "instagram", "178", "one")


def test_comments_channels_and_workspaces_are_apart(alices: str, charlies: str) -> None:
    private_replies.claim(alices, "instagram", "178", "one")

    assert private_replies.claim(alices, "instagram", "179", "two")
    assert private_replies.claim(alices, "facebook", "178", "two")
    assert private_replies.claim(charlies, "instagram", "178", "two")
