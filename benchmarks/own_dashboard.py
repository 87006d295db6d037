"""The dashboard in this process, on the benchmark's own servers: complete responses, without the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def run_dashboard(workspace_id: str) -> Iterator[Callable[[str], None]]:
    """Run the dashboard; yields a function that requests a path, by a key for the API and as an operator for a page."""
    import logs
    import settings as settings_module
    from dashboard import create_app, disconnect, gevent_support
    from dashboard.access import COOKIE
    from models import api_key, database, session, user
    from models.ids import new_id
    from models.user import Membership

    # A log line for each of some hundred requests would hide the table.
    logs.set_up("benchmark", "WARNING")
    settings = settings_module.load()
    database.open_pool(settings.database_service_url, "beckon_service", 2)
    # A database that is kept has the operators of earlier runs.
    email = f"{new_id()}@example.com"
    user.join(workspace_id, user.create(email, "Bob", "a password of nobody"), "operator")
    database.db.close_all()
    app = create_app(settings)
    gevent_support.freeze_startup_objects()
    client = app.test_client()
    headers = {"Authorization": f"Bearer {api_key.issue(workspace_id, 'benchmark').secret}"}
    member, _ = user.find_sign_in(email)
    assert isinstance(member, Membership)
    client.set_cookie(COOKIE, session.start(member))

    def fetch(path: str) -> None:
        response = client.get(path, headers=headers if path.startswith("/api/") else {})
        assert response.status_code == 200, f"{path}: {response.status}"

    try:
        yield fetch
    finally:
        disconnect(app)
