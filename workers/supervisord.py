"""supervisord as Beckon runs it: it forks the programs from the code that it has loaded (`workers.forking`)."""

from __future__ import annotations

import warnings

from workers.forking import ForkingOptions

with warnings.catch_warnings():
    # supervisor imports what setuptools deprecates.
    warnings.simplefilter("ignore")
    from supervisor import supervisord


def main(configuration: str) -> None:
    """Run supervisord with this file until a signal ends it."""
    supervisord.ServerOptions = ForkingOptions
    supervisord.main(["-c", configuration])
