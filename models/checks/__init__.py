"""What must hold of stored data, and its upkeep: invariants, verification, deployment checks, retention and rollups."""
