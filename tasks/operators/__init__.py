"""Operator actions: on executions, messages and pauses; reviews, switches, model settings and invitations."""
