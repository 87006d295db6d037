"""Calls of Meta's own SDK: it sends the token as a parameter."""

from __future__ import annotations

from typing import Any

from facebook_business.adobjects.igcomment import IGComment
from facebook_business.adobjects.page import Page
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession
from harness import run


def open_api(url: str, token: str) -> FacebookAdsApi:
    FacebookSession.GRAPH = url
    return FacebookAdsApi(FacebookSession(access_token=token), api_version="v25.0")


def raise_with_codes(error: FacebookRequestError) -> None:
    error.code, error.subcode = error.api_error_code(), error.api_error_subcode()
    error.kind, error.status = error.api_error_type(), error.http_status()
    raise error


def send(url: str, page: str, params: dict[str, Any], token: str = "KEY") -> Any:
    try:
        return Page(page, api=open_api(url, token)).create_message(params=params).export_all_data()
    except FacebookRequestError as error:
        raise_with_codes(error)


def reply(url: str, comment: str, params: dict[str, Any], token: str = "KEY") -> Any:
    return IGComment(comment, api=open_api(url, token)).create_reply(params=params).export_all_data()


def get_profile(url: str, person: str, fields: str, token: str = "KEY") -> Any:
    return open_api(url, token).call("GET", [person], params={"fields": fields}).json()


run({"send": send, "reply": reply, "get_profile": get_profile})
