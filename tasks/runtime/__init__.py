"""Runs claimed executions: the broker and its consumer, the executor's threads, leases and completions."""
