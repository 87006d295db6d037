"""Accepts the inputs that start or move executions: producers' triggers, schedules, and the providers' callbacks."""
