"""Measurable properties of the design: contrast, unmodified vendored files, existing icons."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

import settings
from dashboard.pages import labels

STATIC = settings.ROOT / "dashboard" / "static"
TEMPLATES = settings.ROOT / "dashboard" / "templates"
STAGES = list(labels.STAGES)
#: WCAG 2.2, success criterion 1.4.3: contrast of text and background.
MIN_CONTRAST = 4.5

PAIRS = [
    *[(text, ground) for text in ("text", "muted", "accent", "failed") for ground in ("ground", "panel")],
    ("accent", "tint"), ("on-accent", "accent"), ("on-accent", "failed"), ("queued", "ground"),
    *[(stage, f"{stage}-tint") for stage in STAGES],
]  # fmt: skip


def read_tokens(look: int) -> dict[str, str]:
    text = (STATIC / "tokens.css").read_text(encoding="utf-8")
    matches = re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", text)
    return {name: values[look] for name, *values in matches}


def luminance(colour: str) -> float:
    channels = [int(colour[position : position + 2], 16) / 255 for position in (1, 3, 5)]
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("look", [0, 1], ids=["light", "dark"])
def test_every_text_has_enough_contrast(look: int) -> None:
    colours = read_tokens(look)
    weak = []
    for text, ground in PAIRS:
        if (contrast := compare(colours[text], colours[ground])) < MIN_CONTRAST:
            weak.append(f"{text} on {ground}: {contrast:.2f}")
    assert not weak


@pytest.mark.parametrize("look", [0, 1], ids=["light", "dark"])
def test_every_part_of_a_chart_has_enough_contrast(look: int) -> None:
    script = (STATIC / "analytics-drawing.js").read_text(encoding="utf-8")
    (strength,) = re.findall(r"const RESTING = ([\d.]+);", script)
    sheet = (STATIC / "analytics.css").read_text(encoding="utf-8")
    parts = re.findall(r"\.color-\w+ \{ color: var\(--(\w+)\); \}", sheet)
    assert len(parts) == len(set(parts)) > 7
    colours = read_tokens(look)
    weak = {
        part: contrast
        for part in parts
        if (contrast := compare(blend(colours[part], colours["panel"], float(strength)), colours["panel"])) < 3
    }
    assert weak == {}


def blend(colour: str, ground: str, strength: float) -> str:
    """A colour drawn with a strength of 0 to 1 on a ground."""
    channels = [
        round(strength * int(colour[at : at + 2], 16) + (1 - strength) * int(ground[at : at + 2], 16))
        for at in (1, 3, 5)
    ]
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def compare(first: str, second: str) -> float:
    """The contrast of two colours."""
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def test_colours_are_defined_in_one_file() -> None:
    for sheet in ("beckon.css", "pages.css", "forms.css"):
        assert not re.findall(r"#[0-9a-f]{3,6}\b", (STATIC / sheet).read_text(encoding="utf-8"))


def test_vendored_files_equal_the_published_ones() -> None:
    folder = STATIC / "vendor"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert {path.name for path in folder.iterdir()} == {*manifest, "manifest.json"}
    for name, entry in manifest.items():
        digest = hashlib.sha384((folder / name).read_bytes()).digest()
        assert (name, entry["sha384"]) == (name, "sha384-" + base64.b64encode(digest).decode())


def test_every_stage_has_its_icon_and_its_colours() -> None:
    icons = set(re.findall(r'<symbol id="(\w+)"', (STATIC / "icons.svg").read_text(encoding="utf-8")))
    sheet = (STATIC / "beckon.css").read_text(encoding="utf-8")
    for stage in STAGES:
        assert stage in icons
        assert f".stage-{stage} " in sheet or f".stage-{stage}," in sheet


def list_templates() -> list[Path]:
    return sorted(TEMPLATES.glob("*.html"))


@pytest.mark.parametrize("template", list_templates(), ids=lambda path: path.name)
def test_no_template_has_inline_scripts_or_styles(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=)|hx-on|\|\s*safe|javascript:", text)


def test_pages_load_nothing_from_other_hosts() -> None:
    for path in [*list_templates(), *STATIC.glob("*.css"), *STATIC.glob("*.js")]:
        assert not re.search(r"(src|href|url)[=(]\"?https?://", path.read_text(encoding="utf-8")), path.name
