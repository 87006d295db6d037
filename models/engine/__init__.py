"""The engine's writes: group commit, the claim and record statements, and the effects of a record on other rows."""
