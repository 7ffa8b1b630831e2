"""Of a mail, the new words are kept and nothing else: many clients, many languages."""

# ruff: noqa: RUF001 - letters of other scripts are the point
from __future__ import annotations

import pytest

from operators.channels import clean
from operators.channels.quotes import new_text
from tests.operators.wire import event

NEW = "The heating broke again, one day after the repair."

ANNOUNCED = {
    "gmail-en": "On Mon, Mar 2, 2026 at 9:00 AM Support <help@acme.example> wrote:",
    "gmail-en-wrapped": "On Mon, Mar 2, 2026 at 9:00 AM The Support Team Of Acme\n<help@acme.example> wrote:",
    "apple-de": "Am 02.03.2026 um 09:00 schrieb Support <help@acme.example>:",
    "gmail-de": "Am Mo., 2. März 2026 um 09:00 Uhr schrieb Support <help@acme.example>:",
    "gmail-fr": "Le lun. 2 mars 2026 à 09:00, Support <help@acme.example> a écrit :",
    "gmail-es": "El lun, 2 mar 2026 a las 9:00, Support (<help@acme.example>) escribió:",
    "gmail-it": "Il giorno lun 2 mar 2026 alle ore 09:00 Support <help@acme.example> ha scritto:",
    "gmail-nl": "Op ma 2 mrt 2026 om 09:00 schreef Support <help@acme.example>:",
    "gmail-da": "Den man. 2. mar. 2026 kl. 09.00 skrev Support <help@acme.example>:",
    "gmail-sv": "Den mån 2 mars 2026 kl 09:00 skrev Support <help@acme.example>:",
    "gmail-no": "man. 2. mars 2026 kl. 09:00 skrev Support <help@acme.example>:",
    "gmail-pl": "pon., 2 mar 2026 o 09:00 Support <help@acme.example> napisał(a):",
    "gmail-pt": "Em seg., 2 de mar. de 2026 às 09:00, Support <help@acme.example> escreveu:",
    "gmail-cs": "Dne po 2. 3. 2026 9:00 uživatel Support <help@acme.example> napsal:",
    "gmail-fi": "ma 2. maalisk. 2026 klo 9.00 Support (help@acme.example) kirjoitti:",
    "gmail-tr": "Support <help@acme.example>, 2 Mar 2026 Pzt, 09:00 tarihinde şunu yazdı:",
    "gmail-ja": "2026年3月2日(月) 9:00 Support <help@acme.example>:",
    "gmail-ko": "2026년 3월 2일 (월) 오전 9:00, Support <help@acme.example>님이 작성:",
    "gmail-zh": "Support <help@acme.example> 于2026年3月2日周一 09:00写道\uff1a",
    "outlook-en": "From: Support <help@acme.example>\nSent: Monday, March 2, 2026 9:00 AM\nTo: Jo\nSubject: Re: x",
    "outlook-de": "Von: Support <help@acme.example>\nGesendet: Montag, 2. März 2026 09:00\nAn: Jo\nBetreff: Re: x",
    "outlook-fr": "De : Support <help@acme.example>\nEnvoyé : lundi 2 mars 2026 09:00\nÀ : Jo\nObjet : Re: x",
    "outlook-es": "De: Support <help@acme.example>\nEnviado el: lunes, 2 de marzo de 2026\nPara: Jo\nAsunto: Re: x",
    "outlook-it": "Da: Support <help@acme.example>\nInviato: lunedì 2 marzo 2026 09:00\nA: Jo\nOggetto: Re: x",
    "outlook-nl": "Van: Support <help@acme.example>\nVerzonden: maandag 2 maart 2026\nAan: Jo\nOnderwerp: Re: x",
    "outlook-line": "________________________________\nFrom: Support <help@acme.example>\nSent: Monday",
    "outlook-old": "-----Original Message-----\nFrom: Support",
    "forwarded": "---------- Forwarded message ---------\nFrom: Support <help@acme.example>\nDate: Mon, Mar 2",
    "forwarded-apple": "Begin forwarded message:\n\nFrom: Support",
}
SIGNATURES = [
    "-- \nJo Berg\nBergwerk Ltd",
    "Best regards,\nJo Berg",
    "Kind regards, Jo",
    "Thanks,\nJo",
    "Cheers\nJo",
    "Sent from my iPhone",
    "Get Outlook for iOS",
    "Regards,\nJo Berg\nHead of Sales | Bergwerk Ltd.\n12 Main Street\n+1 415 555 2671\nwww.bergwerk.example\n\n"
    "This message is confidential and may be privileged.",
    "Mit freundlichen Grüßen\n\nJo Berg\nTel. 030 123456",
    "Gesendet von meinem iPhone",
    "Cordialement,\nJo",
    "Envoyé de mon iPhone",
    "Saludos,\nJo",
    "Met vriendelijke groet,\nJo",
    "CONFIDENTIALITY NOTICE: this mail is for its addressee only.",
    "IMPORTANT NOTICE: the content of this mail is confidential.",
    "Unsubscribe | View in browser",
    "This email and any attachments are confidential and intended solely for the addressee.\nDelete it otherwise.",
    "Kind regards\nJohn Smith\nHead of Sales, Acme Ltd\n+44 20 7946 0018",
    "Best regards,\nJOHN SMITH\nACME HOLDINGS LTD LONDON\njohn@acme.example | www.acme.example",
    "Thanks\nJo\nTel. 030 123456, Fax 030 123457\nRegistered in England and Wales No. 1234567",
    "Viele Grüße\nJo Berg\nLeiter Vertrieb Innendienst Nord\nMusterstraße 1, 12345 Berlin",
    "Sent from my iPhone\n\nThis message is confidential and may be privileged.",
    "-- \nJo Berg\nBe the change that you wish to see in the world.",
]
GOES_ON = [
    ("Best regards,\nJohn\n\n", "PS I will cancel my account if this is not fixed"),
    ("Thanks,\nJo\n\n", "P.S. Nobody called."),
    ("Cheers\nJo\n", "pps: refund me"),
    ("-- \nJo Berg\nBergwerk Ltd\n\n", "PS: I want my money back"),
    ("Thanks\nJo\n", "But still nothing, I will cancel my account"),
    ("Mit freundlichen Grüßen\nJo Berg\n\n", "Ich kündige meinen Vertrag"),
    ("Thanks\nJo\n\n", "I WILL CANCEL MY ACCOUNT"),
    ("Thanks\nJo\n", "Answer me!"),
    ("Kind regards\nJo Berg\n+44 20 7946 0018\n\n", "It broke again while I wrote this.\nFurious."),
    ("Sent from my iPhone\n\n", "The refund never came and I want it."),
    ("—\n", "and this is the third time that I write"),
]
"""What stands like a signature, and the words that come after it."""
NOT_QUOTED = [
    "Unsubscribe me, you keep spamming me.",
    "Important information: you have charged me twice again.",
    "Hi,\nThanks, but your service is awful and I want my money back.",
    "Thanks\nI have been waiting since Monday and nobody has come back to me about it.\nWhy?",
    "Hello\nThank you.\nHowever the invoice is still wrong and I would like somebody to fix this today.",
    "Please note: the thing is broken\n- one\n- two",
    "From: the day I bought it, it was broken.\nTo: be honest I hate it.",
    "Best\nproduct ever, honestly the finest thing that I ever bought from anyone.",
    "The best thing:\nnothing",
    "The refund never came.\nThanks\nBut still nothing, I will cancel my account",
    "The refund never came.\nThanks for nothing",
    "The refund never came.\nTHANKS FOR NOTHING",
    "It broke.\nThanks, this is terrible",
    "It broke.\nBest service ever",
    "It broke.\nYours is broken too",
    "All of these are broken:\nThanks\n" + "\n".join(f"- part {n}" for n in range(9)),
]


@pytest.mark.parametrize("client", sorted(ANNOUNCED))
@pytest.mark.parametrize("quote", ["\nold words\nmore old words", "\n> old words\n> more old words"])
def test_a_quoted_reply_is_cut_off(client: str, quote: str) -> None:
    assert new_text(f"{NEW}\n\n{ANNOUNCED[client]}{quote}") == NEW


@pytest.mark.parametrize("client", sorted(ANNOUNCED))
def test_a_mail_without_new_words_is_told_as_such(client: str) -> None:
    cleaned = clean(event(channel="email", text=f"{ANNOUNCED[client]}\n> old words"))
    assert (cleaned.text, cleaned.skipped) == ("", "quoted_only")


@pytest.mark.parametrize("signature", SIGNATURES)
def test_a_signature_is_cut_off(signature: str) -> None:
    assert new_text(f"{NEW}\n\n{signature}") == NEW
    assert new_text(f"{NEW}\r\n\r\n{signature}".replace("\n", "\r\n")) == NEW


@pytest.mark.parametrize(("signature", "words"), GOES_ON)
def test_words_after_a_signature_stay(signature: str, words: str) -> None:
    assert new_text(f"{NEW}\n\n{signature}{words}") == f"{NEW}\n\n{words}"
    assert new_text(f"{NEW}\n\n{signature}{words}\n\nBest regards,\nJo Berg") == f"{NEW}\n\n{words}"


@pytest.mark.parametrize("text", NOT_QUOTED)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert new_text(text) == text


def test_an_answer_below_the_quote_and_between_its_lines_stays() -> None:
    head = ANNOUNCED["gmail-en"]
    assert new_text(f"{head}\n> first question\n> second\n\n{NEW}") == NEW
    assert new_text(f"{head}\n> Is it on?\nYes.\n> Is it warm?\nNo!") == "Yes.\nNo!"


def test_a_banner_above_is_dropped_and_the_mail_is_not() -> None:
    banner = "CAUTION: This email originated from outside of the organization.\nDo not click links.\n\n"
    assert new_text(banner + NEW) == NEW


def test_html_becomes_text_without_its_quotes() -> None:
    source = f"""<html><head><style>p {{color: red}}</style></head><body>
      <p>Hello <b>you</b>,</p><p>{NEW}<br>It is cold &amp; dark.</p><span style="display:none">preview</span>
      <div class="gmail_quote">On Monday Support wrote:<blockquote>old words</blockquote></div></body></html>"""
    expected = f"Hello you, {NEW} It is cold & dark."
    assert clean(event(channel="email", text=source)).text == expected
    outlook = f"<div>{NEW}</div><hr><div id='divRplyFwdMsg'><b>From:</b> Support</div><div>old words</div>"
    assert clean(event(channel="email", text=outlook)).text == NEW


def test_html_is_told_by_its_type_or_by_its_tags() -> None:
    assert clean(event(channel="email", text="<p>no</p>")).text == "no"
    typed = {"content_type": "text/html; charset=utf-8"}
    assert clean(event(channel="email", text="<em>no</em>", attributes=typed)).text == "no"
    assert clean(event(channel="email", text="2 < 3 and 5 > 4")).text == "2 < 3 and 5 > 4"


def test_html_deeper_than_any_mail_keeps_its_words() -> None:
    assert "words" in clean(event(channel="email", text="<div>" * 3000 + "words")).text


@pytest.mark.parametrize(
    "attributes",
    [
        {"auto_submitted": "auto-replied"},
        {"Auto-Submitted": "auto-generated"},
        {"subject": "Automatic reply: Repair"},
        {"subject": "Out of Office: Repair"},
        {"subject": "Abwesenheitsnotiz"},
        {"subject": "Réponse automatique : panne"},
        {"subject": "Undeliverable: Repair"},
        {"precedence": "auto_reply"},
        {"Auto-Submitted": "auto-replied; owner-email=jo@mail.example", "subject": "Re: Repair"},
        {"subject": "[Auto-Reply] Repair"},
        {"subject": "Auto: Re: Repair"},
        {"subject": "自动回复\uff1a Repair"},
        {"subject": "Undelivered Mail Returned to Sender"},
        {"subject": "Delivery Status Notification (Failure)"},
        {"subject": "Mail delivery failed: returning message to sender"},
        {"subject": "Returned mail: see transcript for details"},
    ],
)
def test_automatic_answers_are_skipped_by_their_headers(attributes: dict[str, str]) -> None:
    cleaned = clean(event(channel="email", text="I will be back on Monday.", attributes=attributes))
    assert (cleaned.text, cleaned.skipped) == ("", "auto_reply")


@pytest.mark.parametrize(
    "text",
    [
        "Hello,\nI am currently out of the office until Monday.",
        "This is an automated response. Your mail has arrived.",
        "Guten Tag, ich bin bis zum 5. März nicht im Büro.",
        "Bonjour, je suis actuellement absent du bureau.",
        "Hola, estoy fuera de la oficina.",
        "Ik ben momenteel niet op kantoor.",
        "Hi there,\n\nThank you for your email. I'm on annual leave and will be back on Monday, 5 May 2026.\n\n"
        "For urgent matters please contact my colleague Anna Berg at anna@acme.example.\n\nBest regards,\nJo",
        "I am on vacation until May 5th with limited access to my email. I will reply to your message when I return.",
        "Hello, I'll be on parental leave until further notice. If you need immediate assistance, call our team.",
        "I will be out of the office from 2 March to 6 March and unable to respond. Thanks for your patience!\nJo Berg",
        "Thank you for your message.\n\nI am out of the office with no access to email, returning Monday March 9.\n"
        "If your request is urgent, please contact support@acme.example.\n\nJo Berg",
        "This is an automatic reply. We have received your request and will get back to you within 24 hours.\n"
        "Please do not reply to this message.",
        "Please do not reply to this email. Your request has been received. Your ticket number is 4711.",
        "Vielen Dank für Ihre Nachricht. Ich bin derzeit im Urlaub und ab dem 5. Mai wieder erreichbar.\n"
        "In dringenden Fällen wenden Sie sich bitte an meine Vertretung.",
        "Bonjour,\nje suis actuellement en congés jusqu'au 5 mai. Je répondrai à votre message à mon retour.",
    ],
)
def test_automatic_answers_are_skipped_by_their_words(text: str) -> None:
    assert clean(event(channel="email", text=text)).skipped == "auto_reply"


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Out of office until 5 May", "Thanks for your message. I will be back on Tuesday."),
        ("OOO till Monday", "I'm on vacation."),
        ("Abwesend bis Montag", "Ich bin am Montag wieder erreichbar."),
        ("Delivery failure", "Your message to jo@mail.example could not be delivered. 550 no such user here"),
        (
            "Returned mail: user unknown",
            "----- The following addresses had permanent fatal errors -----\njo@mail.example",
        ),
        ("Undelivered", "This is the mail system at host mx.mail.example. I'm sorry."),
        ("Read: Repair", "Your message was read on Monday, 2 March 2026 09:00:00 (UTC)."),
    ],
)
def test_automatic_answers_are_skipped_where_subject_and_words_agree(subject: str, text: str) -> None:
    assert clean(event(channel="email", text=text, attributes={"subject": subject})).skipped == "auto_reply"
    assert clean(event(channel="email", text="Nobody answers my calls.", attributes={"subject": subject})).skipped == ""


ANGRY_SUBJECTS = [
    "Undelivered parcel 123, third time!",
    "Undelivered: parcel 123",
    "Delivery failure again",
    "Delivery failure: parcel 123",
    "Mail delivery failed: nobody came",
    "Returned mail",
    "Returned mail: my parcel",
    "Out of office hours nobody helps",
    "Automated response is useless",
    "On vacation without luggage",
    "Auto: claim 123 refused",
    "Read: this or lose me",
    "Re: Automatic reply: Repair",
    "Ooo what a mess",
]
ANGRY_TEXTS = [
    "I'm on holiday in Spain and my card was declined. This is outrageous.",
    "I'm on holiday until Friday and my card was declined.",
    "I'm on holiday until Friday. Card was declined twice.",
    "I'm on holiday until Friday. Nobody answers!",
    "I'm on holiday until Friday. REFUND ME NOW",
    "I am on vacation and the hotel you booked does not exist",
    "I am on vacation until Monday, the hotel you booked does not exist",
    "I'm on maternity leave and you stopped my pay, I am furious",
    "I am out of the office and your courier left my parcel in the rain",
    "I am out of the office until Monday. Cancel my account today or I will sue you.",
    "This is an automated nightmare. I want a refund.",
    "This is an automated response, what a joke. I want a refund from you people.",
    "This is an automatic reply to your useless mails? I told you three times that it is broken.",
    "All I ever get is 'this is an automated response'.",
    "Please do not reply to this email with another canned answer. I want my money back.",
    "Ich bin derzeit im Urlaub und meine Karte wurde gesperrt. Das ist eine Frechheit.",
    "Je suis actuellement en congés et ma carte est bloquée depuis trois jours.",
]


@pytest.mark.parametrize("subject", ["", "Help", *ANGRY_SUBJECTS])
@pytest.mark.parametrize("text", ["It is broken for the third time.", *ANGRY_TEXTS])
def test_angry_mails_that_sound_automatic_are_kept(subject: str, text: str) -> None:
    cleaned = clean(event(channel="email", text=text, attributes={"subject": subject}))
    assert (cleaned.text, cleaned.skipped) == (text, "")


@pytest.mark.parametrize("header", [{"auto_submitted": "no"}, {"Auto-Submitted": "No"}, {"precedence": "normal"}])
def test_headers_that_say_a_person_wrote_are_believed(header: dict[str, str]) -> None:
    text = "I am currently out of the office until Monday."
    attributes = {**header, "subject": "Automatic reply: Repair"}
    assert clean(event(channel="email", text=text, attributes=attributes)).text == text


def test_a_mail_that_wants_no_automatic_answer_is_not_one_for_that() -> None:
    header = {"X-Auto-Response-Suppress": "All"}
    assert clean(event(channel="email", text="It broke again.", attributes=header)).text == "It broke again."
    assert clean(event(channel="email", text="I will be back on Monday.", attributes=header)).skipped == "auto_reply"


@pytest.mark.parametrize(
    "text",
    [
        "Your agent said you are out of the office. I need help now.",
        "All I get is 'this is an automated response'. Is anybody there?",
        "I am out of patience.",
    ],
)
def test_complaints_about_automatic_answers_are_not_automatic(text: str) -> None:
    cleaned = clean(event(channel="email", text=text, attributes={"auto_submitted": "no", "subject": "Re: help"}))
    assert (cleaned.text, cleaned.skipped) == (text, "")
