"""Accepts what starts or moves executions: producers' triggers, schedules, and the providers' callbacks."""
