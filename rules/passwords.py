"""Decides which passwords users may set: long enough, and not easy to guess.

zxcvbn estimates the strength from lists of common passwords, words, names, keyboard rows, repeats and dates, plus the
user's own address and name. The estimate costs processor time: a server that must stay responsive calls
`check_password` outside its event loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

MIN_LENGTH = 12
MAX_LENGTH = 256
#: Minimum number of guesses: an online attacker makes fewer (zxcvbn calls it safely unguessable).
MIN_GUESSES = 10**9

#: The estimate is quadratic in the length, and exponential in the kinds of symbols that replace letters (`@` for a):
#: without these bounds 72 characters take seconds.
_MAX_ESTIMATED_LENGTH = 40
_SYMBOLS_FOR_LETTERS = "@({[<!|$+%"
_MAX_ESTIMATED_SYMBOLS = 3


def check_password(password: str, personal: Sequence[str] = ()) -> str | None:
    """Return why the password is not allowed, as the end of a sentence that begins with "The password", or None.

    `personal` holds the user's e-mail address and name.
    """
    if len(password) < MIN_LENGTH:
        return f"must have at least {MIN_LENGTH} characters"
    if len(password) > MAX_LENGTH:
        return f"must have at most {MAX_LENGTH} characters"
    if _estimate_guesses(_truncate(password), sorted(set(_split_words(personal)))) < MIN_GUESSES:
        return "is too easy to guess: use several unrelated words, and neither your name nor your address"
    return None


def _estimate_guesses(password: str, personal_words: list[str]) -> float:
    # Here, because its lists take 12 MB, which a process that checks no password saves.
    from zxcvbn import matching, scoring

    # Not `zxcvbn.zxcvbn`: it stores the personal words in a global, where another thread's estimate would use them.
    ranked = {**matching.RANKED_DICTIONARIES, "user_inputs": matching.build_ranked_dict(personal_words)}
    matches = matching.omnimatch(password, ranked)
    return float(scoring.most_guessable_match_sequence(password, matches)["guesses"])


def _truncate(password: str) -> str:
    text = password[:_MAX_ESTIMATED_LENGTH]
    kinds = list(dict.fromkeys(letter for letter in text if letter in _SYMBOLS_FOR_LETTERS))
    return text.translate({ord(letter): "~" for letter in kinds[_MAX_ESTIMATED_SYMBOLS:]})


def _split_words(personal: Sequence[str]) -> Iterator[str]:
    """Yield each text, its words, and its words joined without separators, in lower case."""
    for text in personal:
        whole = text.strip().lower()[:MAX_LENGTH]
        parts = [part for part in re.split(r"[\W_]+", whole) if len(part) > 1]
        words = {whole, "".join(parts), "".join(reversed(parts)), *parts, whole.partition("@")[0]}
        yield from (word for word in words if word)
