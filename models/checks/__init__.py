"""Checks and maintenance of stored data: invariants, verification, deployment checks, retention and rollups."""
