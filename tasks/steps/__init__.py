"""The steps of a workflow: what each action does and what surrounds a send (pauses, limits, pacing, reconciliation)."""
