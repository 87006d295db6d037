"""What a contact's message asks for, over a corpus of 200 messages in six languages."""

from __future__ import annotations

import sys

import pytest

from rules.opt_outs import Intent, read_direct_message, read_message

#: Requests to stop.
OPT_OUTS = """
STOP|stop|Stop.|stop!!!|ＳＴＯＰ|S T O P|s.t.o.p|STOOOP|STOP 🛑|stop stop stop|Stop please|please stop|STOP now!|ok stop
Stop, thanks|stop all|STOPALL|Stop texting me|stop sending me messages|Please stop messaging me|stop these texts
stop it|Stop this spam|quit|Quit please|END|end please|Revoke|opt out|OPT-OUT|optout|Opt me out please|I opt out
cancel|Cancel, please|cancel my subscription|unsubscribe|Unsubscribe me|please unsubscribe me from this list|UNSUB
I want to unsubscribe|remove|Remove me|remove me from your list|remove my number please|Take me off your list
please take me off this list|un\u00adsubscribe|"stop"|(STOP)|*stop*|stop\u200b|stop :-(|ARRÊT|arret
Arrêt s'il vous plaît|arrêtez|Arrêtez vos messages svp|arrêtez de m'envoyer des sms|désabonner|Désabonnez-moi
STOP SMS|Me désabonner s'il vous plaît|Je veux me désabonner|désinscription|désinscrivez-moi de la liste|stop merci
Annuler|PARAR|parar por favor|pare|Alto|BAJA|darme de baja|Quiero darme de baja|Denme de baja por favor
Dame de baja ya|Cancelar|dar de baja mi número|borrar mi número|Paren de enviarme mensajes|cancelar mi suscripción
Sair|SAIR por favor|Descadastrar|Quero sair|Pare de enviar mensagens|me remova da lista|Me tire da lista
cancelar assinatura|parar agora|Remover meu número|Stopp|STOPP bitte|Abmelden|bitte abmelden|Bitte abmelden, danke
Abbestellen|Newsletter abbestellen|Melde mich ab|Meldet mich bitte ab|Ich möchte mich abmelden|Austragen bitte
mich aus der Liste austragen|Bitte keine Nachrichten stopp|Stopp jetzt sofort|FERMA|Fermati|Annulla|Disiscrivimi
disiscrivi|Disiscrivimi per favore|Voglio disiscrivermi|toglimi dalla lista|Cancellami dalla lista|Basta messaggi
stop grazie|rimuovimi dalla lista
"""
#: What an operator has to judge.
POSSIBLE = """
please no more|No more texts!|Leave me alone|don't text me again|Do not contact me any more|I'm not interested
lose my number|I asked you to stop|I said stop|who gave you my number|How do I unsubscribe from this?
Stop or I will call my lawyer|plus de messages par pitié|Laissez-moi tranquille|ne m'écrivez plus|Pas intéressé
je ne veux plus de sms|No más|Dejen de molestar|No me escriban|No quiero recibir esto|déjeme en paz|Não quero mais
Chega de mensagens chatas|me deixe em paz|Não tenho interesse|Ich will das nicht mehr|Lasst mich in Ruhe
kein Interesse|Hört auf damit|Non voglio più|Lasciatemi in pace|Non mi interessa|smettetela subito
"""
#: Other messages, with the words in them.
OTHERS = """
👍|hello|Stop by tomorrow?|I'll stop at the shop first|the bus stop|Is it a non stop flight?|can't stop laughing
Where does the train stop?|the end|The End.|End of the month works|I quit my job yesterday|Cancel my appointment
can I cancel my order?|please cancel it on Friday|remove the onions please|the list is long|Send me the list
text me please|help me choose|I need more info|How do I start?|Yes please|thanks|ok|No|It never stops|unstoppable
stopover in Rome|full stop|We close at 9, stop in anytime|no more than 5 please
Quelle est l'adresse de l'arrêt de bus ?|Je peux annuler ma commande ?|la fin du mois|merci beaucoup|À bientôt
¿Cuál es el precio más bajo?|¿Puedo cancelar mi cita?|alto y claro me parece|más tarde mejor|gracias
Onde fica a parada?|posso cancelar o pedido?|obrigado|amanhã eu posso sair mais cedo|Ende des Monats passt
Wo ist die Haltestelle?|Ich melde mich morgen|Bitte sende mir die Liste|danke|Dov'è la fermata?
posso annullare l'ordine?|basta così grazie mille per la pizza|a domani|grazie
"""
OPT_INS, HELPS = "START|start|Unstop|START please|Ｓｔａｒｔ!", "HELP|Info|aide|Ayuda?|AJUDA|Hilfe|aiuto|help please"


def _split(texts: str) -> list[str]:
    return [text for line in texts.strip("\n").splitlines() for text in line.split("|")]


CORPUS: list[tuple[str, Intent | None]] = [
    *((text, "opt_out") for text in _split(OPT_OUTS)),
    *((text, "possible_opt_out") for text in _split(POSSIBLE)),
    *((text, None) for text in _split(OTHERS)),
    *((text, "opt_in") for text in _split(OPT_INS)),
    *((text, "help") for text in _split(HELPS)),
]


@pytest.mark.parametrize(("text", "intent"), CORPUS)
def test_a_message_asks_for_what_it_says(text: str, intent: Intent | None) -> None:
    assert read_message(text) == intent


def test_the_corpus_has_two_hundred_messages_and_no_wrong_opt_out(capsys: pytest.CaptureFixture[str]) -> None:
    predicted = [(read_message(text) == "opt_out", intent == "opt_out") for text, intent in CORPUS]
    hits = sum(is_read and is_meant for is_read, is_meant in predicted)
    precision = hits / sum(is_read for is_read, _ in predicted)
    recall = hits / sum(is_meant for _, is_meant in predicted)
    with capsys.disabled():
        sys.stdout.write(f" {len(CORPUS)} messages: precision {precision:.3f}, recall {recall:.3f} ")
    assert len(CORPUS) >= 200
    assert (precision, recall) == (1, 1)


@pytest.mark.parametrize("text", ["Stop", "STOP!", "unsubscribe", "Arrêt", "parar", "Abmelden.", "ＳＴＯＰ 🛑"])
def test_a_typed_direct_message_of_one_such_word_opts_out(text: str) -> None:
    assert read_direct_message(text) == "opt_out"


@pytest.mark.parametrize(
    "text", ["cancel", "Remove", "end", "quit", "Info", "help", "Cancel my appointment", "stop by tomorrow?", "", None]
)
def test_other_direct_messages_ask_for_nothing(text: str | None) -> None:
    assert read_direct_message(text) is None


@pytest.mark.parametrize(
    "text", ["stop please", "no more", "unsubscribe me", "cancel my subscription", "Pas intéressé"]
)
def test_a_direct_message_of_several_words_may_opt_out(text: str) -> None:
    assert read_direct_message(text) == "possible_opt_out"


def test_start_lifts_on_a_direct_channel_too() -> None:
    assert read_direct_message("START") == "opt_in"
    assert read_direct_message("start please") is None
