"""Reads the fields of a form out of a page, as a browser would send them."""

from __future__ import annotations

import html
import re

from werkzeug.datastructures import MultiDict

_TAG = re.compile(r"<(input|select|textarea|option)\b([^>]*)>(?:\n?([^<]*)</(?:textarea|option)>)?")
_ATTRIBUTE = re.compile(r'([\w-]+)(?:="([^"]*)")?')


def read_fields(page: str, form_id: str) -> MultiDict[str, str]:
    """The fields as a browser would send them from the unchanged form, without its buttons."""
    start = page.index(f'<form id="{form_id}"')
    fields: MultiDict[str, str] = MultiDict()
    select, is_chosen = "", False
    for tag, text, content in _TAG.findall(page[start : page.index("</form>", start)]):
        attributes = {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(text)}
        name, value = attributes.get("name", ""), attributes.get("value", html.unescape(content))
        if tag == "select":
            select, is_chosen = name, False
        elif tag == "option" and ("selected" in attributes or not is_chosen):
            earlier = fields.poplist(select)
            fields.setlist(select, [*(earlier[:-1] if is_chosen else earlier), value])
            is_chosen = True
        elif tag != "option" and name and (attributes.get("type") != "checkbox" or "checked" in attributes):
            fields.add(name, value)
    return fields
