"""Sets cookies as HttpOnly and SameSite=Lax, and as Secure where the site is served over HTTPS."""

from __future__ import annotations

from typing import Any

import flask

from dashboard.access import current_settings

#: The cookie that CSRF tokens are derived from without a session.
VISITOR = "beckon_visitor"


def set_cookie(response: Any, name: str, value: str, max_age_seconds: int) -> None:
    """Set a cookie for the whole site."""
    secure = flask.request.is_secure or current_settings().url.startswith("https://")
    response.set_cookie(name, value, max_age=max_age_seconds, httponly=True, samesite="Lax", secure=secure)
