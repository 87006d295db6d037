"""A worker whose generation kills the process for one contact: the step that no retry survives."""

import os
import signal
import sys

import providers
from providers.base import Account
from providers.writing import Prompt, Written
from workers.engine import run_worker

_generate = providers.WRITERS["gemini"]


def _deadly(account: Account, prompt: Prompt) -> Written:
    if "poison" in prompt.text:
        os.kill(os.getpid(), signal.SIGKILL)
    return _generate(account, prompt)


providers.WRITERS["gemini"] = _deadly
run_worker(sys.argv[1])
