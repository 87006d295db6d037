"""Pure decisions: no I/O, no clock; `now` and every fact are arguments."""
