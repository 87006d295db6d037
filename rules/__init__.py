"""DECIDES. Pure rules: no I/O, no clock; `now` and every fact come in as arguments."""
