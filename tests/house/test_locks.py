"""The lock files pin every package with its hashes and name no package index."""

from __future__ import annotations

import re

import pytest

import settings

#: Each SDK of the tests has one of its own.
SDK_LOCKS = tuple(str(file.relative_to(settings.ROOT)) for file in settings.ROOT.glob("tests/sdk/*/requirements.lock"))
LOCKS = ("requirements.lock", "requirements-dev.lock", *sorted(SDK_LOCKS))


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_index_and_hashes_each_package(name):
    text = (settings.ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text
    packages = re.findall(r"^\S+==\S+.*\\\n    --hash=", text, re.MULTILINE)
    assert len(packages) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE))


def test_the_tested_versions_are_those_that_run():
    def list_pins(name: str) -> set[str]:
        text = (settings.ROOT / name).read_text(encoding="utf-8")
        return set(re.findall(r"^([^\s;]+==[^\s;]+)", text, re.MULTILINE))

    assert list_pins("requirements.lock") <= list_pins("requirements-dev.lock")
