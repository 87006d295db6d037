"""The built script of customers' pages agrees with its sources and keeps its promises; checked without Node."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import settings
from rules import playbook_values

SOURCES = settings.ROOT / "clients" / "browser"
BUILT = settings.ROOT / "dashboard" / "static" / "browser"
MANIFEST: dict[str, Any] = json.loads((BUILT / "manifest.json").read_text(encoding="utf-8"))
MAX_GZIPPED_BYTES = 12_000
#: Sinks of HTML or script, and styles that a strict Content-Security-Policy blocks.
SINKS = re.compile(
    r"\beval\(|new Function|innerHTML|outerHTML|insertAdjacentHTML|document\.write|cssText|\.style\s*=[^=]"
)


def list_sources() -> list[str]:
    modules = sorted(f"src/{file.name}" for file in (SOURCES / "src").iterdir())
    return ["build.mjs", "package.json", "package-lock.json", "tsconfig.json", *modules]


def hash_sources() -> str:
    """SHA-256 as clients/browser/build.mjs computes it."""
    digest = hashlib.sha256()
    for name in list_sources():
        digest.update(name.encode() + b"\0" + (SOURCES / name).read_bytes() + b"\0")
    return digest.hexdigest()


def list_built() -> list[dict[str, str]]:
    return [MANIFEST[kind] for kind in ("script", "preview") if kind in MANIFEST]


def read_list(name: str) -> set[str]:
    """The words of a list of safety.js."""
    source = (SOURCES / "src" / "safety.js").read_text(encoding="utf-8")
    call = source.split(f"const {name} = listNames(")[1].split(")")[0]
    return set(" ".join(re.findall(r'"([^"]+)"', call)).split())


def test_the_built_script_is_of_the_present_sources() -> None:
    assert MANIFEST["source"] == hash_sources(), "run `make web`, and commit what it builds"


def test_the_version_names_the_package_and_the_sources() -> None:
    package = json.loads((SOURCES / "package.json").read_text(encoding="utf-8"))
    assert MANIFEST["version"] == f"{package['version']}-{MANIFEST['source'][:8]}"
    assert MANIFEST["script"]["file"] == f"beckon-{MANIFEST['version']}.js"


def test_every_built_file_has_the_integrity_hash_of_the_manifest() -> None:
    for entry in list_built():
        digest = base64.b64encode(hashlib.sha384((BUILT / entry["file"]).read_bytes()).digest()).decode()
        assert entry["integrity"] == f"sha384-{digest}"


@pytest.mark.web
@pytest.mark.timeout(300)
def test_the_sources_have_valid_types_and_build_to_the_same_files(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("Node is not installed")
    for command in (["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "check"], ["npm", "run", "build"]):
        environ = {**os.environ, "BECKON_BROWSER_OUTPUT": str(tmp_path)}
        done = subprocess.run(command, cwd=SOURCES, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    for entry in list_built():
        assert (tmp_path / entry["file"]).read_bytes() == (BUILT / entry["file"]).read_bytes()


def test_the_script_has_less_than_12_kb_gzipped() -> None:
    content = (BUILT / MANIFEST["script"]["file"]).read_bytes()
    assert len(gzip.compress(content, 9)) < MAX_GZIPPED_BYTES


def test_the_script_has_no_dependencies_and_pins_its_tools() -> None:
    package = json.loads((SOURCES / "package.json").read_text(encoding="utf-8"))
    assert "dependencies" not in package
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in package["devDependencies"].values())
    assert "resolved" not in (SOURCES / "package-lock.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", sorted((SOURCES / "src").glob("*.js")), ids=lambda file: file.name)
def test_no_module_uses_a_sink_of_html_or_script(file: Path) -> None:
    assert SINKS.findall(file.read_text(encoding="utf-8")) == []


def test_the_script_refuses_what_the_validation_refuses() -> None:
    attributes = read_list("ALLOWED_ATTRIBUTES") | read_list("URL_ATTRIBUTES") | read_list("IMAGE_LISTS")
    assert attributes == playbook_values.ALLOWED_ATTRIBUTES
    assert read_list("URL_ATTRIBUTES") == playbook_values.URL_ATTRIBUTES
    assert read_list("EXECUTED_ELEMENTS") == playbook_values.EXECUTED_ELEMENTS
