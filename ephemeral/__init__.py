"""HOLDS FOR A MOMENT. Redis; a flush costs speed, never truth."""
