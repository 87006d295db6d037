"""Caches and limits in Redis; a flush costs speed, never data."""
