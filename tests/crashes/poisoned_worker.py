"""A worker whose generation kills the process for one contact: no retry of that step survives."""

import os
import signal
import sys

import providers
from providers.base import Account
from providers.text_generation import GeneratedText, Prompt
from workers.worker_process import run_worker

_generate = providers.registry.TEXT_GENERATORS["gemini"]


def _generate_or_die(account: Account, prompt: Prompt) -> GeneratedText:
    if "poison" in prompt.text:
        os.kill(os.getpid(), signal.SIGKILL)
    return _generate(account, prompt)


providers.registry.TEXT_GENERATORS["gemini"] = _generate_or_die
run_worker((sys.argv[1],))
