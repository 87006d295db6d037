"""Works: dramatiq actors, the execution engine, the scheduler's periodic jobs and operator actions."""
