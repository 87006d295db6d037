"""What bulk e-mail needs so that Gmail and Yahoo accept it: links to unsubscribe in the header and in the body.

The header (RFC 8058) takes an https URL alone. Without one, header and footer have no link, and Health says so;
templates may use the links all the same.
"""

from __future__ import annotations

from models import workspace_preferences
from models.address_key import load_key
from rules.addresses import hash_address
from rules.email_footer import Footer, add_footer
from rules.errors import ConfigurationError
from rules.unsubscribe_links import Recipient, build_url
from settings import Settings
from tasks.runtime.claimed_execution import ClaimedExecution


def build_recipient(claimed: ClaimedExecution, address: str) -> Recipient:
    """Build whom the links of a message to this address belong to."""
    workspace_id = claimed.row["workspace_id"]
    return Recipient(workspace_id, hash_address(_load_key(workspace_id), "email", address), claimed.workflow.topic)


def build_variables(settings: Settings, claimed: ClaimedExecution, address: str) -> dict[str, str]:
    """Build the variables of templates that only e-mail has."""
    recipient = build_recipient(claimed, address)
    url = build_url(settings.url, _load_key(recipient.workspace_id), recipient)
    return {"unsubscribe_url": url, "preferences_url": f"{url}/preferences"}


def build_headers(settings: Settings, claimed: ClaimedExecution, address: str) -> dict[str, str]:
    """Build the headers by which a mail program unsubscribes with one click; none for transactional e-mail."""
    if claimed.workflow.transactional or not _has_https(settings):
        return {}
    url = build_variables(settings, claimed, address)["unsubscribe_url"]
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def add_bulk_footer(settings: Settings, claimed: ClaimedExecution, address: str, body: str, format: str) -> str:
    """Return the body of bulk e-mail with a footer, unless it has a link to unsubscribe of its own."""
    variables = build_variables(settings, claimed, address)
    if claimed.workflow.transactional or _contains(body, variables["unsubscribe_url"]):
        return body
    own = workspace_preferences.load_cached(claimed.row["workspace_id"])
    links = variables if _has_https(settings) else {}
    return add_footer(body, format, Footer(own.sender_name, own.postal_address, **links))


def readdress(settings: Settings, claimed: ClaimedExecution, body: str, earlier: str, address: str) -> str:
    """Return the body with the links of the address that the contact has now, instead of those of an earlier one."""
    url, new_url = (build_variables(settings, claimed, each)["unsubscribe_url"] for each in (earlier, address))
    remember_recipient(claimed, address)
    return body.replace(url, new_url)


def remember_recipient(claimed: ClaimedExecution, address: str) -> None:
    """Keep the address behind the hash of its links, for the page that they lead to; a test's is not kept."""
    if not claimed.test:
        claimed.add_recipient(build_recipient(claimed, address).address_hash, address)


def _contains(body: str, url: str) -> bool:
    """Whether the body has this link, and not only the one for preferences, which begins alike."""
    return url in body.replace(f"{url}/preferences", "")


def _has_https(settings: Settings) -> bool:
    return settings.url.startswith("https://")


def _load_key(workspace_id: str) -> bytes:
    key = load_key(workspace_id)
    if key is None:
        raise ConfigurationError(
            "The key of links to unsubscribe cannot be decrypted, because SECRET_KEY has changed. Restore the earlier"
            " SECRET_KEY."
        )
    return key
