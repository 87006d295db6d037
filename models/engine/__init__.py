"""The engine's writes: the group commit, the statements that claim and record, and what a record changes besides."""
