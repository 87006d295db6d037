"""RUNS: the processes of supervisord.conf and the `beckon` command."""
