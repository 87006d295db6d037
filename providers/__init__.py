"""Clients of the outside services, one module each, both directions. `providers.registry` lists them."""
