"""PRETENDS. A small HTTP server that speaks the providers' APIs, with faults on demand."""
