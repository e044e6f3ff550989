from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import allegra_tls_kit as kit
from allegra_tls_kit.explain import CAUSES, GAP, LOOKED_AT, MOST_EXPLANATIONS
from allegra_tls_kit.trouble import GENERAL, UNKNOWN, WRAPPERS, Trouble
from tests.chains import NOW
from tests.shown import HOSTILE, flat, text_of
from tests.test_agreement import corpus

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scenarios_paths import Scenario

TABLE = (*CAUSES, *GENERAL, *WRAPPERS)
PHRASES = [(trouble, phrase) for trouble in TABLE for phrase in trouble.phrases]
NOTEBOOKS = {"10_survey_servers", "15_explain_one_failure", "20_import_certificate", "30_roll_back"}

# As Java 17 and 25 print it; frames and records left out.
LDAPS_TRACE = """\
2026-11-23 10:15:30,119 ERROR [http-nio-8080-exec-3] com.aurel.track.util.LdapUtil - Using ldaps: with keystore at \
/opt/allegra home/keystore/trackplus.ks
2026-11-23 10:15:30,120 ERROR [http-nio-8080-exec-3] com.aurel.track.util.LdapUtil - Getting the initial ldap context failed \
with dc01.example.com:636
2026-11-23 10:15:30,121 DEBUG [http-nio-8080-exec-3] com.aurel.track.util.LdapUtil - \
javax.naming.CommunicationException: dc01.example.com:636 [Root exception is javax.net.ssl.SSLHandshakeException: \
(certificate_unknown) PKIX path building failed: sun.security.provider.certpath.SunCertPathBuilderException: unable to find \
valid certification path to requested target]
\tat java.naming/com.sun.jndi.ldap.Connection.<init>(Connection.java:251)
\tat java.base/java.lang.Thread.run(Thread.java:993)
Caused by: javax.net.ssl.SSLHandshakeException: (certificate_unknown) PKIX path building failed: \
sun.security.provider.certpath.SunCertPathBuilderException: unable to find valid certification path to requested target
\tat java.base/sun.security.ssl.Alert.createSSLException(Alert.java:636)
\t... 14 more
Caused by: sun.security.validator.ValidatorException: PKIX path building failed: \
sun.security.provider.certpath.SunCertPathBuilderException: unable to find valid certification path to requested target
\t... 28 more
"""

SMTP_TRACE = """\
23.11.2026 10:15:30 WARN  MailSender - Fehler beim Senden der Benachrichtigung
org.apache.commons.mail.EmailException: Sending the email to the following server failed : smtp.example.com:465
\tat org.apache.commons.mail.Email.sendMimeMessage(Email.java:1421)
Caused by: javax.mail.MessagingException: Could not connect to SMTP host: smtp.example.com, port: 465;
  nested exception is:
\tjavax.net.ssl.SSLHandshakeException: PKIX path validation failed: java.security.cert.CertPathValidatorException: \
validity check failed
\tat com.sun.mail.smtp.SMTPTransport.openServer(SMTPTransport.java:2211)
Caused by: java.security.cert.CertificateExpiredException: NotAfter: Mon Nov 02 10:00:00 CET 2026
"""


def codes(text: str) -> list[str]:
    return [explanation.code for explanation in kit.explain(text)]


def endpoints(text: str) -> list[str | None]:
    return [explanation.endpoint for explanation in kit.explain(text)]


def strings(explanation: kit.Explanation) -> list[str]:
    named = (explanation.matched, explanation.endpoint, explanation.keystore, explanation.subject)
    return [explanation.code, explanation.meaning, *explanation.checks, explanation.notebook, *filter(None, named)]


# --- the table -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("trouble", "phrase"), PHRASES, ids=[phrase for _, phrase in PHRASES])
def test_each_phrase_leads_to_its_own_row_first(trouble: Trouble, phrase: str) -> None:
    first = kit.explain(f"WARN x.y.Z - java.lang.Exception: ({trouble.code}) {phrase.replace('…', 'some words')}, am Ende")[0]
    assert (first.code, first.meaning, first.checks) == (trouble.code, trouble.meaning, trouble.checks)
    assert flat(first.matched) == flat(phrase.replace("…", "some words"))


def test_codes_are_unique_and_the_same_words_as_those_of_findings_where_both_exist() -> None:
    names = [trouble.code for trouble in (*TABLE, UNKNOWN)]
    assert len(names) == len(set(names))
    assert {"untrusted", "expired", "mismatched", "weak", "anchor_not_a_ca", "no_anchors"} <= set(names) & set(kit.FindingCode)


@pytest.mark.parametrize("trouble", [*TABLE, UNKNOWN], ids=lambda trouble: trouble.code)
def test_each_row_has_whole_sentences_something_to_check_and_a_notebook(trouble: Trouble) -> None:
    assert trouble.checks
    for sentence in (trouble.meaning, *trouble.checks):
        assert sentence[0].isupper() or sentence.startswith(("keytool", "`"))
        assert sentence.endswith((".", "?"))
    assert trouble.notebook in NOTEBOOKS


def test_what_hides_the_cause_says_so() -> None:
    assert [trouble for trouble in TABLE if trouble.hides_cause] == [*GENERAL, *WRAPPERS]


# --- texts as people paste them --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nothing to see here", ["unknown"]),
        ("", ["unknown"]),
        (LDAPS_TRACE, ["untrusted", "ldap_connect"]),
        (SMTP_TRACE, ["expired", "mail_connect", "smtp_send"]),
        ("dc01:636", ["ldap_connect"]),
        ("Verbindung fehlgeschlagen: dc01.example.com:3269 \nmehr", ["ldap_connect"]),
        ("ldaps://dc01.example.com:636", ["unknown"]),
        ("javax.mail.AuthenticationFailedException: STLS required but not supported", ["starttls_not_offered"]),
        ("javax.mail.AuthenticationFailedException: 535 5.7.8 Error", ["login_refused"]),
        ("javax.mail.AuthenticationFailedException: [AUTH] no", ["login_failed"]),
        ("Can't send email", ["smtp_send"]),
        ("Received fatal alert: no_renegotiation", ["tls_failed"]),
        ("Certificate was added to keystore\nkeytool error: java.io.FileNotFoundException: a.ks (Keine Berechtigung)",
         ["file_not_opened"]),
        ("FileNotFoundException: /home/allegra/attachments/7 (No such file or directory)", ["unknown"]),
        ("java.net.ConnectException: Verbindungsaufbau abgelehnt (Connection refused)", ["refused"]),
        ("Could not connect to SMTP host: smtp.example.com, port: 465, response: -1", ["no_greeting", "mail_connect"]),
        ("Caused by: java.io.IOException: Invalid keystore format", ["no_keystore_format"]),
        ("problem accessing trust store\nCaused by: Keystore was tampered with, or password was incorrect",
         ["wrong_store_password", "store_not_loaded"]),
        ("Sending the email to the following server failed : h:465\nNo appropriate protocol", ["client_too_old", "smtp_send"]),
        ("PKIX path validation failed: java.security.cert.CertPathValidatorException: a new rule", ["path_refused"]),
        ("PKIX path validation failed: java.security.cert.CertPathValidatorException: signature check failed", ["bad_signature"]),
    ],
)  # fmt: skip
def test_causes_come_first_and_what_surrounds_them_last(text: str, expected: list[str]) -> None:
    assert codes(text) == expected


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\n".join(line[at : at + 40] for line in text.split("\n") for at in range(0, len(line), 40)),
        lambda text: "".join(f"> {line}\n" for line in text.split("\n")),
        lambda text: text.replace(" ", "\u00a0\u200b"),
        lambda text: text.replace("ERROR", "\x1b[1;31mERROR\x1b[0m").replace("PKIX path", "\x1b[31mPKIX\x1b[0m path"),
        lambda text: text.replace("ERROR", "[1;31mERROR[0;39m").replace("PKIX path", "^[[31mPKIX^[[0m path"),
        lambda text: text.lower(),
        lambda text: f"Guten Tag,\nbeim Anmelden kommt: „{text}“\nMit freundlichen Grüßen\n",
    ],
    ids=["CRLF", "wrapped in words", "quoted", "odd blanks", "colours", "colours as text", "lower case", "in a letter"],
)
@pytest.mark.parametrize("text", [LDAPS_TRACE, SMTP_TRACE], ids=["ldaps", "smtp"])
def test_how_a_log_was_copied_does_not_matter(text: str, changed: Callable[[str], str]) -> None:
    assert codes(changed(text)) == codes(text)


def test_a_typographic_apostrophe_is_one() -> None:
    assert codes("Can\u2019t verify identity of server: mail") == ["mismatched"]


def test_a_gap_is_bounded() -> None:
    subject = "CN=" + "x" * (GAP - len('"CN="'))
    assert codes(f'TrustAnchor with subject "{subject}" is not a CA certificate') == ["anchor_not_a_ca"]
    assert codes(f'TrustAnchor with subject "{subject}x" is not a CA certificate') == ["unknown"]


def sentence(asked: Scenario) -> str | None:
    chain, anchors = [c.der for c in asked.chain], [a.der for a in asked.anchors]
    return kit.diagnose(chain, asked.server_name, anchors, at=NOW, endpoint_identification=asked.identification).message


def test_every_sentence_with_which_java_refuses_a_chain_is_known() -> None:
    said, known = {*filter(None, map(sentence, corpus()))}, {trouble.code for trouble in CAUSES}
    assert len(said) > 20
    assert [message for message in said if codes(message)[0] not in known] == []


# --- what a text names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("smtp.example.com:465", "smtps://smtp.example.com:465"),
        ("imap.example.com/192.0.2.7:993 gave up", "imaps://imap.example.com:993"),
        ("Could not connect to SMTP host: mail, port: 465", "smtps://mail:465"),
        ("Could not connect to SMTP host: mail, port: 2525;", "smtp://mail:2525"),
        ("Couldn't connect to host, port: pop, 995; timeout -1", "pop3s://pop:995"),
        ("localhost:993", "imaps://localhost:993"),
        ("Sending the email to the following server failed : MailGW:587", "smtp://MailGW:587"),
        ("Incoming e-mail settings don't work: imap:mail:993, user x - connect timed out", "imaps://mail:993"),
        ("Incoming e-mail settings don't work: imap:mail:1993, user x - connect timed out", None),
        ("Incoming e-mail settings don't work: pop3:mail:110, user x - null", "pop3://mail:110"),
        ("simple bind failed: dc01:1636", "ldaps://dc01:1636"),
        ("javax.naming.ServiceUnavailableException: dc01.example.com:389; socket closed", "ldap://dc01.example.com:389"),
        ("dc01:636", "ldaps://dc01:636"),
        ("dc01.example.com:3269", "ldaps://dc01.example.com:3269"),
        ("providerURL: ldaps://dc01.example.com/ou=people", "ldaps://dc01.example.com:636"),
        ("ldap://[2001:db8::1]:636", "ldaps://[2001:db8::1]:636"),
        ("at [2001:db8::1]:993", "imaps://[2001:db8::1]:993"),
        ("imap://paul:geheim@mail.example.com:143/INBOX", "imap://mail.example.com:143"),
        ('DEBUG SMTP: trying to connect to host "mail", port 26, isSSL true', "smtps://mail:26"),
        ('DEBUG POP3: connecting to host "mail", port 110, isSSL false', "pop3://mail:110"),
        ("\tat sun.security.ssl.SSLSocketImpl.read(SSLSocketImpl.java:993)", None),
        ("at 10:15:30.465, version 1.2.3:465, 23.11.2026:465, line:465", None),
        ("smtp.example.com:70000 smtp.example.com:80 http://proxy.example.com:465/", None),
        ("imaps://not_a_host-:993", None),
        ("a.example.com:465 or b.example.com:465", "smtps://a.example.com:465"),
    ],
)
def test_a_server_is_guessed_from_words_and_port(text: str, url: str | None) -> None:
    assert endpoints(f"{text}\n")[0] == url
    assert url is None or kit.Endpoint.parse(url).url == url


def test_keystore_and_subject_are_named() -> None:
    explanation = kit.explain(
        "Owner: CN=mail, O=Example\nFileNotFoundException: C:\\Program Files\\Allegra\\mail.ks (Zugriff …)"
    )[0]
    assert explanation.keystore == "C:\\Program Files\\Allegra\\mail.ks"
    assert explanation.subject == "CN=mail, O=Example"
    assert kit.explain(LDAPS_TRACE)[0].keystore == "/opt/allegra home/keystore/trackplus.ks"
    assert kit.explain("*** There is no keystore at /opt/keystore/trackplus.ks")[0].keystore == "/opt/keystore/trackplus.ks"
    refused = kit.explain('PKIX: TrustAnchor with subject "CN=localhost, O=T" is not a CA certificate')[0]
    assert refused.matched == 'TrustAnchor with subject "CN=localhost, O=T" is not a CA certificate'
    assert refused.subject == "CN=localhost, O=T"


def test_each_server_of_a_log_has_its_own_explanation() -> None:
    other = SMTP_TRACE.replace("smtp.example.com", "backup.example.com").replace("10:15:30", "10:16:00")
    found = kit.explain(LDAPS_TRACE + SMTP_TRACE + other + SMTP_TRACE)
    assert [(e.code, e.endpoint) for e in found if not e.hides_cause] == [
        ("expired", "smtps://smtp.example.com:465"),
        ("expired", "smtps://backup.example.com:465"),
        ("untrusted", "ldaps://dc01.example.com:636"),
    ]
    assert [e.endpoint for e in found if e.code == "smtp_send"] == [e.endpoint for e in found if e.code == "expired"]


def test_a_cause_in_the_next_record_belongs_to_the_only_server_unless_its_frames_show_another_protocol() -> None:
    first = "10:00:00 WARN Sending the email to the following server failed : smtp.example.com:587\n"
    cause = "10:00:00 WARN STARTTLS is required but host does not support STARTTLS\n"
    assert endpoints(first + cause) == ["smtp://smtp.example.com:587"] * 2
    assert endpoints(first + cause + "\tat com.sun.mail.imap.IMAPStore.login(IMAPStore.java:1)\n")[0] is None
    assert endpoints(first + first.replace("smtp.", "mx.") + cause)[0] is None


# --- strangers' words ------------------------------------------------------------------------------------------------------

PIECES = st.sampled_from([HOSTILE, "\x1b[", "10:15:30 ", "\n", ":465", "smtp://", "dc01:636", "…", *(p for _, p in PHRASES)])


@given(st.lists(st.one_of(st.text(), PIECES), max_size=30).map("".join))
@settings(deadline=None)
def test_any_text_has_an_explanation_that_does_nothing(text: str) -> None:
    found = kit.explain(text)
    assert 1 <= len(found) <= MOST_EXPLANATIONS
    for explanation in found:
        assert explanation.notebook in NOTEBOOKS
        assert [said for said in strings(explanation) if not said.isprintable() or len(said) > 400] == []
        if explanation.endpoint is not None:
            assert kit.Endpoint.parse(explanation.endpoint).url == explanation.endpoint


@pytest.mark.parametrize(
    "piece",
    [
        *("a", ".", "\n", " ", ">", "\x1b[0", "[::", "1:23:45\n", "a.b:465 ", "smtp://a@", "FileNotFoundException: ", "Alias <"),
        *("keystore at a", "subject CN=", "host, port: a", "a/1:", "\ud800", "C:\\a b"),
        "".join(f"10:15:{number % 60:02} smtp://h{number}.example.com:465 {PHRASES[number % len(PHRASES)][1]}\n"
                for number in range(1000)),
    ],
    ids=lambda piece: repr(piece[:12]),
)  # fmt: skip
def test_a_megabyte_of_anything_is_done_in_bounded_time(piece: str) -> None:
    started = time.monotonic()
    assert kit.explain(piece * (2**20 // len(piece)))
    assert time.monotonic() - started < 10


def test_what_stands_behind_the_first_part_is_not_looked_at() -> None:
    assert codes(" " * (LOOKED_AT - 25) + "trustAnchors parameter must be non-empty") == ["unknown"]
    assert codes(" " * (LOOKED_AT - 40) + "trustAnchors parameter must be non-empty") == ["no_anchors"]


def test_an_explanation_is_shown_with_all_it_says_and_does_nothing() -> None:
    subject = f'TrustAnchor with subject "CN={HOSTILE}" is not a CA certificate, imaps://mail.example.com:993'
    found = kit.explain(f"{subject}\nkeystore at /srv/mail.ks\nSSLException\nCould not convert socket to TLS")
    shown = kit.show_explanations(found)
    html = text_of(shown.html())
    for said in [string for explanation in found for string in strings(explanation)]:
        assert said in html
        assert flat(said) in flat(str(shown))
    assert "script>" in html
    assert str(kit.show_explanations(kit.explain(""))).startswith("● unknown: ")
