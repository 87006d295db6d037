"""Generates the texts of the sandbox's models: a plausible short message, always the same for the same prompt."""

from __future__ import annotations

import hashlib
import re
from typing import Any

_OPENINGS = (
    "thanks for getting in touch",
    "it is good to hear from you",
    "I saw your note and wanted to answer in person",
    "thank you for your interest",
)
_CLOSINGS = (
    "Would a short call this week suit you?",
    "Just answer here and I will take it from there.",
    "Shall I send you the details?",
    "Tell me what would help you most.",
)


def extract_prompt(body: dict[str, Any]) -> str:
    """Return the text of a request's last turn, or "" if it has none; single turns and parts need no list."""
    contents = body.get("contents")
    turn = contents[-1] if isinstance(contents, list) and contents else contents
    parts = turn.get("parts") if isinstance(turn, dict) else None
    texts = [part.get("text") for part in (parts if isinstance(parts, list) else [parts]) if isinstance(part, dict)]
    return " ".join(text for text in texts if isinstance(text, str)).strip()


def write_text(prompt: str) -> str:
    """Generate a message to the name in the prompt, about the topic after "about"."""
    digest = hashlib.sha256(prompt.encode()).digest()
    name = re.search(r"\b(?:to|for|greet)\s+([A-Z][\w'-]*)", prompt)
    about = re.search(r"\babout\s+([^.,;:!?\n]{3,60})", prompt)
    topic = f" about {about[1].strip()}" if about else ""
    opening, closing = _OPENINGS[digest[0] % len(_OPENINGS)], _CLOSINGS[digest[1] % len(_CLOSINGS)]
    return f"Hi {name[1] if name else 'there'}, {opening}{topic}. {closing}"


def build_gemini_response(prompt: str, model: str, response_id: str) -> dict[str, Any]:
    """Build the body of a 200 in Gemini's format."""
    text = write_text(prompt)
    prompt_tokens, output_tokens = len(prompt.split()), len(text.split())
    return {
        "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {
            "promptTokenCount": prompt_tokens,
            "candidatesTokenCount": output_tokens,
            "totalTokenCount": prompt_tokens + output_tokens,
        },
        "modelVersion": model,
        "responseId": response_id,
    }


def build_gemini_chunks(prompt: str, model: str, response_id: str) -> list[dict[str, Any]]:
    """Build the chunks of a stream in Gemini's format, one a sentence; the last has the finish reason."""
    whole = build_gemini_response(prompt, model, response_id)
    candidate = whole["candidates"][0]
    sentences = re.split(r"(?<=\. )", candidate["content"]["parts"][0]["text"])
    chunks = []
    for number, sentence in enumerate(sentences, start=1):
        part = {**candidate, "content": {"parts": [{"text": sentence}], "role": "model"}}
        if number < len(sentences):
            del part["finishReason"]
        chunks.append({**whole, "candidates": [part]})
    return chunks


def extract_last_turn(turns: object) -> str:
    """Return the text of the last of OpenAI's messages, or ""."""
    turn = turns[-1] if isinstance(turns, list) and turns else {}
    content = turn.get("content") if isinstance(turn, dict) else None
    return content.strip() if isinstance(content, str) else ""


def build_openai_response(prompt: str, model: str, response_id: str) -> dict[str, Any]:
    """Build the body of a 200 in OpenAI's format."""
    text = write_text(prompt)
    prompt_tokens, output_tokens = len(prompt.split()), len(text.split())
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": response_id,
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": prompt_tokens + output_tokens,
        },
    }
