"""Removes what a model writes for itself from its answer: reasoning in tags, in channels, and control tokens.

The forms are those of the model families' chat templates: `<think>` (DeepSeek, Qwen), `<seed:think>`, `[THINK]`
(Mistral), `◁think▷` (Kimi), `<|START_THINKING|>` (Cohere), `<|begin_of_thought|>`, `<|channel>thought` (Gemma),
and the channels of OpenAI's harmony format. A server that knows a model's form removes it; others pass it on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_NAMES = (
    "think|thinking|thought|thoughts|reasoning|reason|reflection|scratchpad|analysis|cot|chain[_-]of[_-]thought"
    "|(?:inner|internal)[_-]monologue|antthinking"
)
_ANGLE_OPEN, _ANGLE_CLOSE = r"(?:<|&lt;)", r"(?:>|&gt;)"
_OPEN = re.compile(
    rf"(?i:{_ANGLE_OPEN}\s*(?:\w+[:_-])?(?:{_NAMES})(?:\s[^<>&]*)?{_ANGLE_CLOSE})"
    r"|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>|<\|channel>thought|<unused94>thought"
)
_CLOSE = re.compile(
    rf"(?i:{_ANGLE_OPEN}\s*/\s*(?:\w+[:_-])?(?:{_NAMES})\s*{_ANGLE_CLOSE})"
    r"|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>|<channel\|>|<unused95>"
)
_EMPTY_TAG = re.compile(rf"(?i){_ANGLE_OPEN}\s*(?:\w+[:_-])?(?:{_NAMES})\s*/\s*{_ANGLE_CLOSE}")
_CONTROL_TOKEN = re.compile(r"<\|[A-Za-z_]+\|>|</s>\s*$|<end_of_turn>|<(?:start_of_turn)>model\n?")

_HARMONY_CHANNEL = "<|channel|>"
_HARMONY_FINAL = re.compile(
    r"<\|channel\|>\s*final\b.*?<\|message\|>(.*?)(?=<\|(?:end|return|start|channel)\|>|\Z)", re.DOTALL
)
#: Harmony after a server has removed the control tokens and left the names of roles and channels.
_HARMONY_WITHOUT_TOKENS = re.compile(r"\Aanalysis.*?assistantfinal(.*)\Z", re.DOTALL)


class _Mark(NamedTuple):
    start: int
    end: int
    opens: bool


def remove_reasoning(text: str) -> str:
    """Return the answer alone, trimmed; empty if all of the text is reasoning.

    Reasoning that is not closed goes to the end of the text. One that is closed and was never opened, as in templates
    that open it in the prompt, goes from the beginning.
    """
    return _CONTROL_TOKEN.sub("", _remove_tagged(_select_final_channel(text))).strip()


def _select_final_channel(text: str) -> str:
    if _HARMONY_CHANNEL in text:
        return "".join(match[1] for match in _HARMONY_FINAL.finditer(text))
    bare = _HARMONY_WITHOUT_TOKENS.match(text)
    return bare[1] if bare else text


def _remove_tagged(text: str) -> str:
    text = _EMPTY_TAG.sub("", text)
    kept: list[str] = []
    start, is_open = 0, False
    for mark in _list_marks(text):
        if mark.opens and not is_open:
            kept.append(text[start : mark.start])
        elif not mark.opens and not is_open:
            kept.clear()
        start, is_open = mark.end, mark.opens
    return "".join(kept) if is_open else "".join([*kept, text[start:]])


def _list_marks(text: str) -> Iterator[_Mark]:
    """Return the opening and closing marks in their order."""
    opens = (_Mark(match.start(), match.end(), True) for match in _OPEN.finditer(text))
    closes = (_Mark(match.start(), match.end(), False) for match in _CLOSE.finditer(text))
    return iter(sorted([*opens, *closes]))
