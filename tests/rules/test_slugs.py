"""The slugs that a workspace may have."""

from __future__ import annotations

import pytest

from rules.slugs import check_slug


@pytest.mark.parametrize("slug", ["acme", "a", "acme-2", "7-eleven", "x" * 63])
def test_a_slug_is_lower_case_words_with_hyphens(slug):
    assert check_slug(slug) is None


@pytest.mark.parametrize(
    "slug",
    ["", "Acme", "acme shop", "acme_shop", "-acme", "acme-", "a--b", "äcme", "acme\n", "../x", "x" * 64, "а"],
)
def test_anything_else_is_rejected(slug):
    assert "lower-case" in (check_slug(slug) or "")


@pytest.mark.parametrize("slug", ["01a00000-0000-7000-8000-000000000000", "01a00000000070008000000000000000"])
def test_a_slug_that_looks_like_an_id_is_rejected(slug):
    assert "id" in (check_slug(slug) or "")
