"""A worker whose generation kills the process for one contact: the step that no retry survives."""

import os
import signal
import sys

from providers import gemini
from workers.engine import run_worker

_generate = gemini.generate


def _deadly(account: gemini.Account, prompt: gemini.Prompt) -> gemini.Generated:
    if "poison" in prompt.text:
        os.kill(os.getpid(), signal.SIGKILL)
    return _generate(account, prompt)


gemini.generate = _deadly
run_worker(sys.argv[1])
