"""Settings: one frozen value from the environment, `.env` and the home, or one line that names the problem."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

import settings
from settings import SettingsError
from workers import generated_secrets


@pytest.fixture
def load(tmp_path: Path):
    def load(dotenv: str = "", **environ: str) -> settings.Settings:
        (tmp_path / ".env").write_text(dotenv, encoding="utf-8")
        return settings.load({"BECKON_HOME": str(tmp_path / "home"), **environ}, dotenv=tmp_path / ".env")

    return load


def test_without_configuration_the_defaults_apply(load):
    config = load()
    assert (config.host, config.port, config.threads, config.io_threads, config.lease_seconds) == (
        "127.0.0.1",
        8080,
        8,
        32,
        30,
    )
    assert config.url == "http://127.0.0.1:8080"
    assert config.demo is True
    assert config.run_tracking is None


def test_the_environment_wins_over_the_file(load):
    config = load("BECKON_PORT=9001\nexport BECKON_THREADS='4'\n# a comment\n", BECKON_PORT="9002")
    assert (config.port, config.threads) == (9002, 4)


def test_an_empty_variable_counts_as_not_set(load):
    assert load(BECKON_PORT="", MAILGUN_API_KEY=" ").mailgun_api_key == ""


def test_an_empty_variable_hides_the_file_s(load):
    assert load("BECKON_PORT=9001\n", BECKON_PORT="").port == 8080


def test_a_value_of_the_file_stays_as_it_is_written(load):
    url = "postgresql://me:pa$$word@host/base?host=/run # 1"
    assert load(f"DATABASE_URL={url}\n").database_url == url


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("BECKON_PORT", "eighty", "a whole number from 1 to 65535"),
        ("BECKON_PORT", "70000", "a whole number from 1 to 65535"),
        ("BECKON_SANDBOX", "on", "auto or off"),
        ("BECKON_DEMO", "maybe", "1 or 0"),
        ("BECKON_CLOCK_OFFSET", "nan", "a number of seconds"),
        ("RUN_TRACKING", "maybe", "1 or 0"),
        ("BECKON_AI_PROVIDER", "other", "gemini or openai"),
        ("BECKON_ALLOWED_HOSTS", "beckon.example:80", "host names or addresses without a port, separated by commas"),
        ("BECKON_METRICS_NETWORKS", "10.0.0.1/8", "networks such as 10.0.0.0/8, separated by commas"),
        ("MAILGUN_BASE_URL", "api.mailgun.net", "a URL that starts with http:// or https://"),
        ("REDIS_URL", "http://here", "a URL that starts with redis:// or rediss:// or unix://"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_what_was_expected(load, name, value, expected):
    with pytest.raises(SettingsError) as refused:
        load(**{name: value})
    assert str(refused.value).startswith(f"{name}: expected {expected}")
    assert "\n" not in str(refused.value)


def test_a_wrong_secret_is_refused_without_being_shown(load):
    with pytest.raises(SettingsError) as refused:
        load(SECRET_KEY="too short")
    assert str(refused.value) == "SECRET_KEY: expected at least 32 characters, got a secret that is not shown"


def test_a_misspelt_name_is_refused_with_the_nearest_known_one(load):
    with pytest.raises(SettingsError, match=r"BECKON_PROT is not a setting of Beckon.*BECKON_PORT"):
        load(BECKON_PROT="1")


def test_an_invalid_line_of_the_file_is_refused_with_its_number(load):
    with pytest.raises(SettingsError, match="line 2: expected NAME=value"):
        load("BECKON_PORT=1\nwhat is this\n")


def test_secrets_are_never_shown(load):
    config = load(
        SECRET_KEY="s" * 40, MAILGUN_API_KEY="mail-secret", DATABASE_URL="postgresql://me:pass-word@host/base"
    )
    assert not any(secret in repr(config) for secret in ("s" * 40, "mail-secret", "pass-word"))


def test_settings_do_not_change(load):
    with pytest.raises(ValidationError, match="frozen"):
        load().port = 1


def test_programs_connect_with_the_owner_s_url_unless_they_have_their_own(load):
    url = "postgresql://me:word@host/base?sslmode=require&options=-c%20jit%3Doff"
    config = load(DATABASE_URL=url)
    assert (config.database_app_url, config.database_service_url) == (url, url)
    assert not config.embedded_database
    config = load(DATABASE_URL=url, DATABASE_APP_URL="postgresql://app@host/base")
    assert (config.database_app_url, config.database_service_url) == ("postgresql://app@host/base", url)


def test_each_url_of_the_embedded_server_has_its_own_login_and_password(load, tmp_path):
    generated_secrets.ensure_secrets(tmp_path)
    config = load(BECKON_HOME=str(tmp_path))
    urls = (config.database_url, config.database_app_url, config.database_service_url)
    logins = [urlsplit(url) for url in urls]
    assert [login.username for login in logins] == ["beckon", "beckon_app", "beckon_service"]
    assert len({login.password for login in logins}) == 3
    assert all(len(login.password or "") >= 32 for login in logins)


@pytest.mark.parametrize(
    ("url", "next_url"),
    [
        ("redis://host:6379", "redis://host:6379/1"),
        ("rediss://:word@host:6379/4", "rediss://:word@host:6379/5"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=3"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock?db=1"),
    ],
)
def test_the_broker_uses_the_configured_database_and_ephemeral_data_the_next(load, url, next_url):
    config = load(REDIS_URL=url)
    assert (config.broker_url, config.ephemeral_url) == (url, next_url)


def test_the_embedded_servers_sockets_have_short_enough_paths(load, tmp_path):
    config = load(BECKON_HOME=str(tmp_path / ("long" * 40)))
    assert len(f"{config.run}/.s.PGSQL.5432") < 100
    assert config.embedded_database
    assert config.embedded_redis


def test_two_homes_have_two_socket_directories(load, tmp_path):
    assert load(BECKON_HOME=str(tmp_path / "a")).run != load(BECKON_HOME=str(tmp_path / "b")).run


def test_generated_values_are_used_until_the_setting_is_set(load, tmp_path):
    (tmp_path / "home").mkdir()
    generated = {
        "secret_key": "k" * 40,
        "telnyx_public_key": "public",
        "telnyx_webhook_seed": "seed",
        "sandbox_port": 4242,
    }
    (tmp_path / "home" / "kept.json").write_text(json.dumps(generated), encoding="utf-8")

    config = load()
    assert (config.secret_key, config.sandbox_secrets.telnyx_seed, config.sandbox_port) == ("k" * 40, "seed", 4242)
    assert not config.sandbox_port_explicit

    config = load(TELNYX_PUBLIC_KEY="theirs")
    assert (config.telnyx_public_key, config.sandbox_secrets.telnyx_public_key) == ("theirs", "public")


def test_copies_on_neighbouring_ports_have_different_sandbox_ports(load):
    assert {load(BECKON_PORT=str(port)).sandbox_port for port in (8080, 8081, 60_000)} == {18_080, 18_081, 50_000}


def test_a_listener_on_every_address_is_reached_on_this_machine(load):
    config = load(BECKON_HOST="0.0.0.0", BECKON_URL="https://beckon.example/")
    assert (config.local_url, config.url) == ("http://127.0.0.1:8080", "https://beckon.example")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "beckon.example"])
def test_the_sandbox_is_on_loopback_whatever_the_dashboard_listens_on(load, host):
    assert load(BECKON_HOST=host).sandbox_url == "http://127.0.0.1:18080"


def test_a_program_of_beckon_up_knows_that_its_postgresql_is_embedded(tmp_path):
    own = {"BECKON_HOME": str(tmp_path)}
    config = settings.load(own, dotenv=tmp_path / "none")
    passed = settings.load(own | {"DATABASE_URL": config.database_app_url}, dotenv=tmp_path / "none")
    elsewhere = settings.load(own | {"DATABASE_URL": "postgresql://a@db/b"}, dotenv=tmp_path / "none")
    assert [each.embedded_database for each in (config, passed, elsewhere)] == [True, True, False]
