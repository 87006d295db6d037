"""The steps of a workflow: the function of each action, and the checks around a send (pauses, limits, pacing)."""
