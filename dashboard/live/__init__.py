"""Live data: read once per tick for all watchers, and streamed to each."""
