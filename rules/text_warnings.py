"""Warns of texts that are longer than their channel sends, as far as they are the same for every contact.

Variables count as empty, so a text that is too long here is too long for everybody. Texts with Liquid tags are not
measured: they may have parts of which only one is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rules import sms_text, truncation
from rules.actions import ACTIONS
from rules.channels import CHANNELS, CONVERSATION_CHANNELS
from rules.definition_warnings import DefinitionWarning, Fix, build_change, warn
from rules.source_tree import Path
from rules.step_walk import Visit, Walk

_OUTPUT = re.compile(r"\{\{.*?\}\}", re.DOTALL)


def list_text_warnings(walk: Walk, platform: str) -> Iterator[DefinitionWarning]:
    """Yield the warnings of the texts of a valid definition; `platform` is the channel of its trigger."""
    for visit in walk.visits:
        if visit.action == "send_sms":
            yield from _check_sms(visit)
        elif ACTIONS[visit.action].reaches_contact and ACTIONS[visit.action].channel is None:
            yield from _check_text(visit, platform)
            yield from _check_titles(visit)


def read_fixed_text(source: str) -> str | None:
    """Return a template's text without its outputs; None for one with tags."""
    return None if "{%" in source else _OUTPUT.sub("", source)


def _check_sms(visit: Visit) -> Iterator[DefinitionWarning]:
    text = read_fixed_text(visit.fields["body"])
    if text is None or visit.fields.get("when_too_long") == "cut":
        return
    length = sms_text.measure(sms_text.clean(text))
    limit = visit.fields.get("max_segments", sms_text.MAX_SEGMENTS)
    if length.segments > limit:
        yield warn(
            visit.name_path("with", "body"),
            f"This text needs {length.segments} parts ({length.units} units of {length.encoding}), and the limit is "
            f"{limit}: the step fails.",
            _fix_sms(visit, length.segments),
        )


def _fix_sms(visit: Visit, segments: int) -> Fix:
    if segments <= sms_text.MAX_SEGMENTS:
        return build_change(f"Allow {segments} parts", segments, *visit.path, "with", "max_segments")
    return build_change("Cut the text to the limit", "cut", *visit.path, "with", "when_too_long")


def _check_text(visit: Visit, platform: str) -> Iterator[DefinitionWarning]:
    text = read_fixed_text(visit.fields["body"])
    channel = visit.fields.get("channel") or (platform if platform in CONVERSATION_CHANNELS else "instagram")
    kind = "comment_reply" if visit.action == "reply_comment" else visit.fields.get("as", "message")
    limit = truncation.find_text_limit(channel, kind, buttons=bool(visit.fields.get("buttons")))
    if text is None or limit.can_fit(text):
        return
    unit = f"{limit.characters:,} characters" if limit.characters is not None else f"{limit.bytes:,} bytes"
    yield warn(
        visit.name_path("with", "body"),
        f"{CHANNELS[channel].label} accepts {unit} here, so the end of this text is cut.",
        build_change("Cut it now", truncation.truncate(text, limit), *visit.path, "with", "body")
        if text == visit.fields["body"]
        else None,
    )


def _check_titles(visit: Visit) -> Iterator[DefinitionWarning]:
    titles: list[tuple[Path, str]] = [
        (("buttons", index, "title"), row["title"]) for index, row in enumerate(visit.fields.get("buttons", ()))
    ]
    titles += [(("quick_replies", index), title) for index, title in enumerate(visit.fields.get("quick_replies", ()))]
    for path, title in titles:
        text = read_fixed_text(title)
        if text is None or truncation.TITLE_LIMIT.can_fit(text):
            continue
        name = f"{path[0]}[{path[1]}]" + (".title" if len(path) > 2 else "")
        cut = truncation.truncate(text, truncation.TITLE_LIMIT)
        yield warn(
            visit.name_path("with", name),
            f"A title has at most {truncation.TITLE_LIMIT.characters} characters, so this one is cut: “{cut}”.",
            build_change("Cut it now", cut, *visit.path, "with", *path) if text == title else None,
        )
