"""DOES. Dramatiq actors, one verb each, thin: load, decide, speak, remember."""
