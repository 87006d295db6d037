"""Reads what a contact's message asks for: to stop, to start again, help, or perhaps to stop.

Sources: CTIA Messaging Principles and Best Practices 5.1 (the carriers' words), 47 CFR 64.1200(a)(10) (any reasonable
means revokes consent, so requests in other words are read too), and the lists of Telnyx and Twilio for other languages.
Texts are compared without case, accents, punctuation and emoji. A text in which a word only occurs ("stop by
tomorrow?") is no request; one that may be a request is for an operator to judge.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable, Iterator
from typing import Literal

Intent = Literal["opt_out", "opt_in", "help", "possible_opt_out"]


def _phrases(text: str) -> frozenset[str]:
    """Return the phrases of a text, which commas separate."""
    return frozenset(" ".join(phrase.split()) for phrase in text.split(","))


#: Words and phrases that ask to stop, alone, in SMS and mail: those of the carriers, and their translations.
_STOP = _phrases("""
    stop, stopall, stop all, quit, end, revoke, opt out, optout, cancel, unsubscribe, unsub, remove, arret, arreter,
    arretez, desabonner, desabonnez, desabonnement, desinscrire, desinscription, parar, pare, alto, baja, darse de
    baja, darme de baja, dar de baja, cancelar, cancele, sair, descadastrar, remover, cancelar inscricao, stopp,
    abmelden, abbestellen, austragen, beenden, ferma, fermare, fermati, annulla, disiscrivi, disiscriviti,
    disiscrizione, cancellami, annuler
""")
#: Of these, what may be said about the sender's messages ("stop texting me", "nehmt mich von der Liste").
_STOP_WITH_OBJECT = _phrases("""
    stop, stop all, unsubscribe, unsub, remove, opt out, stopp, arretez, arreter, desabonnez, desabonner,
    desinscrire, desinscrivez, parar, pare, paren, darme de baja, dar de baja, descadastrar, remover, remova, abmelden,
    abbestellen, austragen, disiscrivi, cancella, cancellami, rimuovi, rimuovimi, ferma, basta, quitar, quitame,
    borrame, borrar, borren
""")
_POLITE = _phrases("""
    please, pls, plz, thanks, thank, you, thx, now, ok, hi, hello, immediately, just, svp, merci, sil, vous, te,
    plait, por, favor, gracias, ya, obrigado, obrigada, agora, bitte, danke, jetzt, sofort, per, favore, grazie,
    subito, porfavor
""")
#: Names of what is to stop, and of the person: they may stand beside a phrase of `_STOP_WITH_OBJECT`.
_OBJECTS = _phrases("""
    me, my, i, it, this, these, your, the, from, to, of, on, any, all, text, texts, texting, message, messages,
    messaging, sms, sending, send, list, lists, number, emails, email, mails, contacting, subscription, mailing,
    marketing, with, spam, spamming, moi, mes, les, vos, ces, de, des, la, le, liste, envoyer, votre, menvoyer,
    mensajes, los, sus, mis, lista, su, mi, enviar, enviarme, mandar, mandarme, el, numero, mensagens, as, suas,
    minhas, da, sua, meu, enviarem, mich, mir, die, der, von, aus, eure, ihre, nachrichten, newsletter, schicken,
    keine, ihrer, eurer, dalla, messaggi, vostri, tuoi, inviare, inviarmi, mandarmi, di, il, mio
""")
#: Common requests whose words do not follow the forms above.
_STOP_PHRASES = _phrases("""
    i want to unsubscribe, i want to opt out, i would like to unsubscribe, i wish to unsubscribe, i opt out, opt me
    out, sign me off, take me off, take me off your list, cancel subscription, cancel my subscription, cancel
    messages, cancel texts, cancelar suscripcion, cancelar mi suscripcion, cancelar assinatura, take me off this
    list, take me off the list, je veux me desabonner, je souhaite me desabonner, je veux me desinscrire, me
    desabonner, me desinscrire, quiero darme de baja, deme de baja, denme de baja, dame de baja, quero cancelar,
    quero sair, quero me descadastrar, me descadastre, me remova, me tire da lista, ich will mich abmelden, ich
    mochte mich abmelden, mich abmelden, melde mich ab, meldet mich ab, melden sie mich ab, voglio disiscrivermi,
    voglio cancellarmi, disiscrivimi, toglimi dalla lista, cancellatemi, toglietemi dalla lista
""")
_START = frozenset({"start", "unstop"})
_HELP = frozenset({"help", "info", "aide", "ayuda", "ajuda", "hilfe", "aiuto"})

#: Whole messages that ask to stop on Instagram and Messenger.
_DIRECT_STOP = _phrases("""
    stop, unsubscribe, arret, desabonner, me desabonner, parar, darme de baja, cancelar inscricao, descadastrar,
    stopp, abmelden, disiscrivimi, disiscrivi
""")

#: What occurs in a text that may be a request.
_POSSIBLE = _phrases("""
    no more, leave me alone, dont text, do not text, dont message, do not message, dont contact, do not contact,
    dont send, do not send, dont write, not interested, stop bothering, lose my number, delete my number,
    unsubscribe, opt out, remove me, take me off, you to stop, make it stop, stop it, who gave you my number, plus
    de messages, plus de sms, laissez moi tranquille, laisse moi tranquille, ne menvoyez plus, ne mecrivez plus, pas
    interesse, me desabonner, me desinscrire, no mas, dejen de, deja de, dejeme en paz, dejame en paz, no me
    escriban, no me interesa, no quiero recibir, no me manden, darme de baja, nao quero, chega de, me deixe em paz,
    parem de, pare de, nao me mande, nao tenho interesse, keine nachrichten, keine sms, nicht mehr, lasst mich in
    ruhe, lass mich in ruhe, kein interesse, hort auf, non voglio, basta messaggi, lasciami in pace, lasciatemi in
    pace, non mi interessa, non scrivetemi, smettetela, smettila, non mandatemi
""")
#: Of these, what is said about other things.
_NOT_POSSIBLE = ("no more than", "no more questions", "no mas tarde", "no mas preguntas", "nicht mehr als")
#: What follows or precedes the word in talk about other things.
_NOT_BEHIND_STOP = _phrases("""
    by, at, in, over, off, for, being, motion, sign, working, watch, and
""")
_NOT_BEFORE_STOP = _phrases("""
    bus, non, cant, cannot, wont, never, next, last, first, pit, full, the, a, one, your, this, that, dont, didnt,
    not, will, it, train, to
""")
_DRAWN_OUT_STOP = re.compile(r"s+t+o+p")
#: Longer texts are conversations.
_MAX_WORDS = 12
_MAX_POSSIBLE_WORDS = 25
_APOSTROPHES = frozenset("'’ʼ`´")


def read_message(text: str | None) -> Intent | None:
    """Return what an SMS or a mail asks for; None for any other text."""
    words = _list_words(text)
    core = _without(words, _POLITE)
    phrase = " ".join(core)
    if phrase in _START:
        return "opt_in"
    if phrase in _HELP:
        return "help"
    if len(words) <= _MAX_WORDS and _asks_to_stop(core):
        return "opt_out"
    return "possible_opt_out" if len(words) <= _MAX_POSSIBLE_WORDS and _may_ask_to_stop(words) else None


def read_direct_message(text: str | None) -> Intent | None:
    """Return what a typed message on Instagram or Messenger asks for, where only whole messages are requests.

    Of several words that are a request in an SMS, an operator judges.
    """
    words = _list_words(text)
    phrase = " ".join(words)
    if phrase in _DIRECT_STOP:
        return "opt_out"
    if phrase in _START:
        return "opt_in"
    is_doubtful = len(words) > 1 and read_message(text) in ("opt_out", "possible_opt_out")
    return "possible_opt_out" if is_doubtful else None


def _asks_to_stop(core: list[str]) -> bool:
    phrase = " ".join(core)
    if phrase in _STOP or phrase in _STOP_PHRASES or set(core) == {"stop"}:
        return True
    return any(part in _STOP_WITH_OBJECT for part in _list_cores(core))


def _list_cores(words: list[str]) -> Iterator[str]:
    """Return the words without those that name the sender's messages or the person."""
    yield " ".join(_without(words, _OBJECTS))
    for start in range(len(words)):
        for end in (start + 1, start + 2, start + 3):
            rest = [*words[:start], *words[end:]]
            if rest and all(word in _OBJECTS for word in rest):
                yield " ".join(words[start:end])


def _without(words: Iterable[str], dropped: Container[str]) -> list[str]:
    return [word for word in words if word not in dropped]


def _may_ask_to_stop(words: list[str]) -> bool:
    padded = f" {' '.join(words)} "
    if any(f" {other} " in padded for other in _NOT_POSSIBLE):
        return False
    return any(f" {part} " in padded for part in _POSSIBLE) or _begins_or_ends_with_stop(words)


def _begins_or_ends_with_stop(words: list[str]) -> bool:
    if len(words) < 2 or len(words) > _MAX_WORDS:
        return False
    if words[0] == "stop":
        return words[1] not in _NOT_BEHIND_STOP
    return words[-1] == "stop" and words[-2] not in _NOT_BEFORE_STOP


def _list_words(text: str | None) -> list[str]:
    """Return the words of a text in lower case, without accents, apostrophes, signs and emoji."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text or "").casefold())
    kept = (char for char in decomposed if not unicodedata.combining(char) and char not in _APOSTROPHES)
    visible = (char for char in kept if unicodedata.category(char) != "Cf")
    words = "".join(char if char.isalnum() else " " for char in visible).split()
    if len(words) > 1 and all(len(word) == 1 for word in words):
        words = ["".join(words)]
    return ["stop" if _DRAWN_OUT_STOP.fullmatch(word) else word for word in words]
