"""Imitates Google's Gemini: generates texts, whole or as a stream, and refuses what Gemini refuses.

Unknown fields are refused by name, as Google's JSON parser does, which takes names in camelCase and in snake_case. The
fields are those of the OpenAPI document. Pages: ai.google.dev, generateContent, streamGenerateContent, Troubleshooting.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from rules.json_text import dump_json
from sandbox import generated_texts
from sandbox.http import HttpResponse, Request
from sandbox.parsed_request import ParsedRequest, build_message

#: The shape of the names of Google's models of text.
_MODEL = re.compile(
    r"gemini-(\d(\.\d)?-)?(pro|flash|ultra|nano)(-[a-z0-9]+)*|gemini-exp-\d{4}|gemma-\d[a-z]?-[a-z0-9]+(-it)?"
)
_ROLES = ("user", "model", "function")
_REQUEST_FIELDS = frozenset(
    {"model", "cachedContent", "contents", "generationConfig", "safetySettings", "serviceTier", "store"}
    | {"systemInstruction", "toolConfig", "tools"}
)
_CONTENT_FIELDS = frozenset({"parts", "role"})
_PART_DATA = frozenset(
    {"codeExecutionResult", "executableCode", "fileData", "functionCall", "functionResponse", "inlineData", "text"}
    | {"toolCall", "toolResponse"}
)
_PART_FIELDS = _PART_DATA | {"partMetadata", "thought", "thoughtSignature", "videoMetadata", "mediaResolution"}
_SAFETY_FIELDS = frozenset({"category", "threshold", "method"})
_THRESHOLDS = ("BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF")
#: The numbers of `generationConfig` with their least and greatest values.
_RANGES: dict[str, tuple[float, float]] = {
    "candidateCount": (1, 8),
    "frequencyPenalty": (-2, 2),
    "logprobs": (0, 20),
    "maxOutputTokens": (1, 2**31),
    "presencePenalty": (-2, 2),
    "seed": (-(2**31), 2**31),
    "temperature": (0, 2),
    "topK": (1, 2**31),
    "topP": (0, 1),
}
_WHOLE = frozenset({"candidateCount", "logprobs", "maxOutputTokens", "seed"})
_CONFIG_FIELDS = frozenset(
    {"automaticFunctionCalling", "enableEnhancedCivicAnswers", "imageConfig", "mediaResolution", "responseFormat"}
    | {"responseJsonSchema", "responseLogprobs", "responseMimeType", "responseModalities", "responseSchema"}
    | {"speechConfig", "stopSequences", "thinkingConfig", "toolConfig"}
    | set(_RANGES)
)
_UNREADABLE = "Invalid JSON payload received."
_PACKAGE = "type.googleapis.com/google.ai.generativelanguage.v1beta"


def parse_request(request: Request, model: str, *, is_stream: bool) -> ParsedRequest:
    """Parse `POST /v1beta/models/{model}:generateContent` or `:streamGenerateContent`."""
    stream = _read_stream_format(request) if is_stream else None
    rejection = _check_request(request, model)
    if rejection is not None:
        return ParsedRequest("gemini", model, rejection)
    prompt = generated_texts.extract_prompt(_rename_fields(request.json()))
    message = build_message(request, "gemini", uuid.uuid4().hex, model, request.json())
    if stream is None:
        response = HttpResponse(200, generated_texts.build_gemini_response(prompt, model, message.id))
    else:
        response = encode_stream(generated_texts.build_gemini_chunks(prompt, model, message.id), stream)
    return ParsedRequest("gemini", model, response, message, stream=stream)


def _read_stream_format(request: Request) -> Literal["sse", "json"]:
    return "sse" if request.query.get("alt") == "sse" else "json"


def encode_stream(chunks: Sequence[dict[str, Any]], stream: str) -> HttpResponse:
    """Build the response with these chunks: as server-sent events, or as a list."""
    if stream == "json":
        return HttpResponse(200, list(chunks))
    events = "".join(f"data: {dump_json(chunk)}\r\n\r\n" for chunk in chunks)
    return HttpResponse(200, events, content_type="text/event-stream")


def _check_request(request: Request, model: str) -> HttpResponse | None:
    if not (request.headers.get("x-goog-api-key") or request.query.get("key")):
        return _reject(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.")
    if not request.is_json_object or request.media_type not in ("application/json", ""):
        return _reject(400, "INVALID_ARGUMENT", f"{_UNREADABLE} Unexpected token.")
    body = _rename_fields(request.json())
    unknown = list(_find_unknown_fields(body))
    if unknown:
        violations = [{"field": path, "description": text} for path, text in unknown]
        details = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}]
        return _reject(400, "INVALID_ARGUMENT", "\n".join(text for _, text in unknown), details)
    if not _MODEL.fullmatch(model):
        text = f"models/{model} is not found for API version v1beta, or is not supported for generateContent."
        return _reject(404, "NOT_FOUND", text)
    problem = next(_find_problems(body), None)
    return _reject(400, "INVALID_ARGUMENT", problem) if problem else None


def _reject(code: int, status: str, text: str, details: list[Any] | None = None) -> HttpResponse:
    return HttpResponse(code, build_gemini_error(code, status, text, details))


def _rename_fields(body: Any) -> Any:
    """Return the body with the names of the fields that are checked in camelCase."""
    if isinstance(body, list):
        return [_rename_fields(item) for item in body]
    if not isinstance(body, dict):
        return body
    return {_to_camel_case(name): _rename_fields(value) for name, value in body.items()}


def _to_camel_case(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def _find_unknown_fields(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _list_unknown(body, _REQUEST_FIELDS, "")
    yield from _list_unknown(body.get("generationConfig"), _CONFIG_FIELDS, "generation_config")
    for number, setting in enumerate(_as_list(body.get("safetySettings"))):
        yield from _list_unknown(setting, _SAFETY_FIELDS, f"safety_settings[{number}]")
    for path, content in _list_contents(body):
        yield from _list_unknown(content, _CONTENT_FIELDS, path)
        for number, part in enumerate(_as_list(content.get("parts")) if isinstance(content, dict) else []):
            yield from _list_unknown(part, _PART_FIELDS, f"{path}.parts[{number}]")


def _list_unknown(value: Any, names: Iterable[str], path: str) -> Iterator[tuple[str, str]]:
    for name in value if isinstance(value, dict) else ():
        if name not in names:
            place = f" at '{path}'" if path else ""
            yield path, f'{_UNREADABLE} Unknown name "{name}"{place}: Cannot find field.'


def _as_list(value: Any) -> list[Any]:
    """Return a repeated field's values; Google's parser takes a single one without a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _list_contents(body: dict[str, Any]) -> list[tuple[str, Any]]:
    contents = [(f"contents[{number}]", content) for number, content in enumerate(_as_list(body.get("contents")))]
    system = body.get("systemInstruction")
    return contents if system is None else [*contents, ("system_instruction", system)]


def _find_problems(body: dict[str, Any]) -> Iterator[str]:
    if not _as_list(body.get("contents")):
        yield "* GenerateContentRequest.contents: contents is not specified\n"
    for path, content in _list_contents(body):
        yield from _find_content_problems(path, content)
    yield from _find_config_problems(body.get("generationConfig", {}))
    for number, setting in enumerate(_as_list(body.get("safetySettings"))):
        yield from _find_safety_problems(f"safety_settings[{number}]", setting)


def _find_content_problems(path: str, content: Any) -> Iterator[str]:
    if not isinstance(content, dict):
        yield f"Invalid value at '{path}' ({_PACKAGE}.Content)"
        return
    if path != "system_instruction" and content.get("role", "user") not in _ROLES:
        yield "Please use a valid role: user, model."
    parts = _as_list(content.get("parts"))
    if not parts:
        yield f"* GenerateContentRequest.{path}.parts: contents.parts must not be empty.\n"
    for number, part in enumerate(parts):
        place = f"{path}.parts[{number}]"
        if not isinstance(part, dict) or not isinstance(part.get("text", ""), str):
            yield f"Invalid value at '{place}' ({_PACKAGE}.Part)"
        elif not any(part.get(name) for name in _PART_DATA):
            problem = "required oneof field 'data' must have one initialized field"
            yield f"* GenerateContentRequest.{place}.data: {problem}\n"


def _find_config_problems(config: Any) -> Iterator[str]:
    if not isinstance(config, dict):
        yield "Invalid value at 'generation_config'"
        return
    for name, (least, greatest) in _RANGES.items():
        number = config.get(name)
        if number is None:
            continue
        kinds = (int,) if name in _WHOLE else (int, float)
        if not isinstance(number, kinds) or isinstance(number, bool):
            yield f"Invalid value at 'generation_config.{name}', {dump_json(number)}"
        elif not least <= number <= greatest:
            yield f"* GenerateContentRequest.generation_config.{name}: must be in the range [{least}, {greatest}].\n"
    sequences = _as_list(config.get("stopSequences"))
    if len(sequences) > 5 or not all(isinstance(sequence, str) and sequence for sequence in sequences):
        yield "* GenerateContentRequest.generation_config.stop_sequences: at most 5 texts that are not empty\n"


def _find_safety_problems(path: str, setting: Any) -> Iterator[str]:
    if not isinstance(setting, dict) or not str(setting.get("category")).startswith("HARM_CATEGORY_"):
        yield f"Invalid value at '{path}.category' ({_PACKAGE}.HarmCategory)"
    elif setting.get("threshold") not in _THRESHOLDS:
        yield f"Invalid value at '{path}.threshold' ({_PACKAGE}.SafetySetting.HarmBlockThreshold)"


def build_gemini_error(code: int, status: str, text: str, details: list[Any] | None = None) -> dict[str, Any]:
    """Build an error in Google's format."""
    return {"error": {"code": code, "message": text, "status": status, "details": details or []}}
