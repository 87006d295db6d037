"""The migrations: numbered SQL files, applied by `models/migrations.py`. A package, so that a wheel contains them."""
