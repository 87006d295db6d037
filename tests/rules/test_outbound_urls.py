"""A URL that Beckon calls has a public host, however a private one is spelled."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from rules.outbound_urls import ALL_NETWORKS, Networks, check_template_url, check_url
from rules.validation import validate

LOOPBACK: Networks = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

PRIVATE = [
    "127.0.0.1", "127.1.2.3", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "224.0.0.1", "255.255.255.255", "192.0.0.192", "168.63.129.16", "198.18.0.1", "240.0.0.1",
    "2130706433", "0177.0.0.1", "0x7f.1", "0x7F000001", "127.1", "127.0.1", "0", "017700000001", "0xa9fea9fe",
    "127.0.0.1.", "LOCALHOST", "localhost", "localhost.", "a.localhost", "LocalHost.LocalDomain", "ip6-loopback",
    "metadata.google.internal",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::FFFF:7F00:1]", "[0:0:0:0:0:ffff:a00:1]", "[::127.0.0.1]", "[::10.0.0.1]",
    "[fe80::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]", "[64:ff9b::a00:1]", "[64:ff9b:1::a00:1]",
    "[2002:7f00:1::]", "[2001:0:a00:1::]", "[2001:db8::1]",
    "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\u2460\u2461\u2466.0.0.1", "\uff4cocalhost",
    "\u0661\u0662\u0667.0.0.1",
]  # fmt: skip
UNREADABLE = [
    "127.0.0.%31", "%6cocalhost", "[fe80::1%25eth0]", "[fe80::1%eth0]", "256.0.0.1", "1.2.3.4.5", "0x7f.0.0.0x100",
    "08.1.1.1", "127..1", "local\u00adhost", "local\u200bhost", "127.0.0.1\\.example.com", "[::1", "::1", "[v1.x]",
    "example.com:0", "example.com:99999", "a\u2100b.example",
]  # fmt: skip
PUBLIC = [
    "example.com", "EXAMPLE.com.", "8.8.8.8", "134744072", "[2606:4700::1111]", "b\u00fccher.example",
    "xn--bcher-kva.example",
    "localhost.example.com", "127.0.0.1.example.com", "my_host.example:8443", "1e100.net", "0x.example",
]  # fmt: skip


def build_call_step(url: str) -> dict[str, Any]:
    return {"id": "call", "action": "call_webhook", "with": {"url": url}}


def find_problems(*steps: Any, networks: Networks = ()) -> dict[str, str]:
    document = {"trigger": {"type": "contact.created"}, "steps": list(steps)}
    return {problem.path: problem.message for problem in validate(document, networks=networks)}


@pytest.mark.parametrize("host", PRIVATE)
@pytest.mark.parametrize("rest", ["/in", ":8080", "?a=b", "#c", ""])
def test_a_private_host_is_rejected_in_every_spelling(host: str, rest: str) -> None:
    fault = check_url(f"http://{host}{rest}", ())
    assert fault is not None
    assert "WEBHOOK_ALLOWED_NETWORKS" in fault
    assert check_url(f"HTTPS://{host}{rest}", ()) == fault


@pytest.mark.parametrize("host", UNREADABLE)
def test_an_invalid_host_is_rejected(host: str) -> None:
    assert check_url(f"http://{host}/in", ALL_NETWORKS) is not None


@pytest.mark.parametrize(
    "authority", ["ada@example.com", "a:b@example.com", "example.com@127.0.0.1", "a\uff20127.0.0.1"]
)
def test_a_user_name_is_rejected(authority: str) -> None:
    assert check_url(f"https://{authority}/", ALL_NETWORKS) == "must not contain a user name or password"
    assert check_template_url(f"https://{authority}/{{{{ payload.path }}}}", ALL_NETWORKS) is not None


@pytest.mark.parametrize("host", PUBLIC)
def test_a_public_host_may_be_called(host: str) -> None:
    assert check_url(f"https://{host}/in?next=http://127.0.0.1/", ()) is None


@pytest.mark.parametrize("host", ["[64:ff9b::a00:1]", "[2002:a00:1::]", "[::ffff:10.0.0.1]"])
def test_an_allowed_network_covers_the_address_within_an_ipv6_address(host: str) -> None:
    private = (ipaddress.ip_network("10.0.0.0/24"),)
    assert check_url(f"http://{host}/in", private) is None
    assert check_url(f"http://{host.replace('a00:', 'a01:').replace('10.0', '10.1')}/in", private) is not None


@pytest.mark.parametrize(("port", "is_valid"), [("1", True), ("65535", True), ("0", False), ("65536", False)])
def test_a_port_is_a_number_of_16_bits(port: str, is_valid: bool) -> None:
    assert (check_url(f"https://example.com:{port}/", ()) is None) is is_valid


@pytest.mark.parametrize("host", ["127.0.0.1:9", "2130706433", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
def test_an_allowed_network_may_be_called(host: str) -> None:
    assert check_url(f"http://{host}/in", LOOPBACK) is None
    assert check_url("http://10.0.0.1/in", LOOPBACK) is not None


@pytest.mark.parametrize("host", PRIVATE)
def test_every_address_is_allowed_anywhere(host: str) -> None:
    assert check_url(f"http://{host}/in", ALL_NETWORKS) is None


@pytest.mark.parametrize(
    "source",
    [
        "http://127.0.0.1/{{ payload.path }}",
        "http://127.0.0.1:{{ payload.port }}/in",
        "http://[::1]:{{ payload.port }}",
        "{{ payload.scheme }}://127.0.0.1/in",
        "{% if payload.path %}http://localhost/{% endif %}",
        "http://2130706433?q={{ payload.q }}",
    ],
)
def test_a_literal_private_host_of_a_template_is_rejected(source: str) -> None:
    fault = check_template_url(source, ())
    assert fault is not None
    assert "WEBHOOK_ALLOWED_NETWORKS" in fault
    assert check_template_url(source, LOOPBACK) is None
    assert "steps[0].with.url" in find_problems(build_call_step(source))


@pytest.mark.parametrize(
    "source",
    [
        "{{ payload.url }}",
        "http://{{ payload.host }}/in",
        "http://127.0.0.1{{ payload.rest }}/in",
        "https://{% if payload.a %}a{% else %}b{% endif %}.example.com/",
        "https://example.com/{{ payload.path }}?next=http://127.0.0.1/",
    ],
)
def test_a_host_that_only_the_call_knows_is_not_checked(source: str) -> None:
    assert check_template_url(source, ()) is None
    assert find_problems(build_call_step(source)) == {}


def test_a_private_url_is_reported_by_its_path_in_any_arm() -> None:
    bad = build_call_step("http://169.254.169.254/latest")
    fine = {"id": "sms", "action": "send_sms", "with": {"body": "hi"}}
    branch = {"id": "fork", "action": "branch", "if": "contact.email == 'a'", "then": [fine], "else": [bad]}
    variants = [{"name": "a", "weight": 1, "steps": [{**fine, "id": "other"}]},
                {"name": "b", "weight": 1, "steps": [{**bad, "id": "call2"}]}]  # fmt: skip
    problems = find_problems(branch, {"id": "split", "action": "split", "variants": variants})
    assert set(problems) == {"steps[0].else[0].with.url", "steps[1].variants[1].steps[0].with.url"}
    assert find_problems(branch, networks=(ipaddress.ip_network("169.254.0.0/16"),)) == {}
