"""REMEMBERS. PostgreSQL through peewee; the only folder that speaks SQL, the only truth."""
