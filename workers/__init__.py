"""RUNS. The processes of supervisord.conf and the `beckon` command."""
