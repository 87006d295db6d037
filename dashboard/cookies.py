"""How every cookie of ours is set: out of reach of scripts and of other sites' forms, and over HTTPS alone where
people come by HTTPS.
"""

from __future__ import annotations

from typing import Any

import flask

from dashboard.access import current_settings

#: The cookie that a form belongs to where nobody is signed in.
VISITOR = "beckon_visitor"


def set_cookie(response: Any, name: str, value: str, max_age_seconds: int) -> None:
    """Set a cookie of the whole site."""
    secure = flask.request.is_secure or current_settings().url.startswith("https://")
    response.set_cookie(name, value, max_age=max_age_seconds, httponly=True, samesite="Lax", secure=secure)
