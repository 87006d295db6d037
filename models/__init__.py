"""Stores data in PostgreSQL through peewee: the source of truth, and the only folder with SQL."""
