"""The common part of the text generators: the prompt, the generated text, and the retries.

Generation has no side effect, so temporary errors are retried. A response that ran out of tokens is requested once more
with a larger budget; one that was interrupted without a fault of ours is requested once more unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from providers import retries
from rules.errors import Blocked, InvalidRequest
from rules.reasoning import remove_reasoning
from rules.visible_text import has_visible_character

#: A response truncated by its budget is requested once more with this many times the tokens.
BUDGET_FACTOR = 4
#: Thinking models respond slowly.
READ_SECONDS = 60.0
#: How a text ended, independent of the provider's terms.
TRUNCATED, INTERRUPTED, COMPLETE = "MAX_TOKENS", "OTHER", "STOP"
#: How a text ended by the provider's finish reason, in lower case. Servers have many more for a whole answer:
#: `eos_token`, `end_turn`, `stop_sequence`.
_OUTCOMES = {
    "stop": COMPLETE,
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), TRUNCATED),
    **dict.fromkeys(("tool_calls", "tool_use", "function_call", "malformed_function_call"), INTERRUPTED),
    **dict.fromkeys(("unexpected_tool_call", "too_many_tool_calls", "malformed_response", "other"), INTERRUPTED),
    **dict.fromkeys(("error", "abort", "aborted", "cancelled", "insufficient_system_resource"), INTERRUPTED),
}


@dataclass(frozen=True)
class Prompt:
    """The request for a text. `max_tokens` limits the response, a thinking model's thoughts included."""

    model: str
    text: str
    system: str | None = None
    max_tokens: int = 1024
    temperature: float | None = None
    #: How long the response may take, where not `READ_SECONDS`.
    read_seconds: float | None = None
    #: Whether temporary errors and unfinished texts are tried again; not where a person waits.
    is_repeated: bool = True


@dataclass(frozen=True)
class GeneratedText:
    """A generated message, trimmed, and its token counts. Thoughts count as output tokens.

    `finish_reason` is the provider's own term, `outcome` one of the three constants above.
    """

    text: str
    model: str
    input_tokens: int
    output_tokens: int
    finish_reason: str
    outcome: str = COMPLETE


def generate_text(label: str, attempt: Callable[[Prompt], GeneratedText], prompt: Prompt) -> GeneratedText:
    """Generate a message without the model's reasoning, never a blank one. Raises an `ExecutionError`."""
    generated = retries.read(lambda: attempt(prompt)) if prompt.is_repeated else attempt(prompt)
    if generated.outcome == INTERRUPTED and prompt.is_repeated:
        generated = retries.read(lambda: attempt(prompt))
    if generated.outcome == TRUNCATED and prompt.is_repeated:
        prompt = replace(prompt, max_tokens=prompt.max_tokens * BUDGET_FACTOR)
        generated = retries.read(lambda: attempt(prompt))
    if generated.outcome == TRUNCATED:
        raise InvalidRequest(
            f"{label} used all of {prompt.max_tokens} tokens without finishing. Raise max_tokens of this step.",
            provider_code=generated.finish_reason,
        )
    if generated.outcome == INTERRUPTED:
        raise InvalidRequest(
            f"{label} was cut off twice ({generated.finish_reason}). Change the prompt, or give this step a fallback.",
            provider_code=generated.finish_reason,
        )
    text = remove_reasoning(generated.text)
    if not has_visible_character(text):
        raise InvalidRequest(f"{label} answered without a text. Change the prompt, or give this step a fallback.")
    return replace(generated, text=text)


def classify_finish(reason: str, text: str) -> str:
    """Return the outcome for a provider's finish reason; an unknown one ends a whole answer if there is a text."""
    return _OUTCOMES.get(reason.lower()) or (COMPLETE if text else INTERRUPTED)


def read_content(content: object) -> str:
    """Return the text of a message's content: a text, or the parts of a list that are no reasoning."""
    if isinstance(content, str):
        return content.strip()
    return "".join(map(_read_part, content)).strip() if isinstance(content, list) else ""


def _read_part(part: object) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("thought") or part.get("type", "text") not in ("text", "output_text"):
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else ""


def build_blocked_error(label: str, subject: str, reason: str) -> Blocked:
    """Build the error of a safety filter's refusal."""
    return Blocked(
        f"{label}'s safety filter refused {subject} ({reason}). Change the prompt, or give this step a fallback.",
        provider_code=reason,
    )
