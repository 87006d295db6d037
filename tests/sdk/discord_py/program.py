"""Calls of the library discord.py."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import discord
from discord.http import Route
from harness import run


async def _send(fields: dict[str, Any], wait: bool) -> Any:
    async with aiohttp.ClientSession() as session:
        webhook = discord.Webhook.partial(1, "sandbox", session=session)
        mentions = discord.AllowedMentions.none()
        message = await webhook.send(wait=wait, allowed_mentions=mentions, **fields)
    if message is None:
        return None
    return {"id": str(message.id), "content": message.content, "author": message.author.name}


def send(url: str, wait: bool = True, **fields: Any) -> Any:
    Route.BASE = f"{url}/api/v10"
    return asyncio.run(_send(fields, wait))


run({"send": send})
