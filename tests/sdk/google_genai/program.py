"""Calls of Google's own SDK for Gemini."""

from __future__ import annotations

from typing import Any

from google import genai
from google.genai import types
from harness import run


def open_client(url: str) -> genai.Client:
    options = types.HttpOptions(base_url=url, api_version="v1beta", timeout=20_000)
    return genai.Client(api_key="KEY", http_options=options)


def generate(url: str, model: str, contents: Any, config: dict[str, Any] | None = None) -> Any:
    with open_client(url) as client:
        response = client.models.generate_content(model=model, contents=contents, config=config)
    return {
        "text": response.text,
        "finish": response.candidates[0].finish_reason.name,
        "tokens": response.usage_metadata.total_token_count,
        "model": response.model_version,
    }


def stream(url: str, model: str, contents: Any, config: dict[str, Any] | None = None) -> Any:
    with open_client(url) as client:
        chunks = client.models.generate_content_stream(model=model, contents=contents, config=config)
        return [{"text": chunk.text, "finish": str(chunk.candidates[0].finish_reason)} for chunk in chunks]


run({"generate": generate, "stream": stream})
