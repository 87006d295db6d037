"""A small HTTP server that imitates the providers' APIs, with faults on demand."""
