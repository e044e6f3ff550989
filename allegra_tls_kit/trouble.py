"""What a known trouble is; those of the network and of logging in; and the texts that tell where something failed, not why.

Rule 1: all that is known of a trouble stands in its row; whoever meets another text adds a row or a phrase.
Rule 2: the order is the order of the answer: where several rows fit, the upper one tells more.
Rule 3: a phrase is the part of a message that no version changes: Java 17 and 25 put `(certificate_unknown) ` before it. White
space and case do not count; `…` stands for any few words.
"""

from __future__ import annotations

from dataclasses import dataclass

SURVEY = "10_survey_servers"
ONE_FAILURE = "15_explain_one_failure"
IMPORT = "20_import_certificate"
ROLL_BACK = "30_roll_back"

AT_SERVER = "This is cured at the server, by whoever runs it; an import does not help."
FROM_THAT_HOST = "Probe the server from Allegra's own host: firewall, proxy and name service may differ elsewhere."
RESTART = (
    "Was Allegra restarted after the truststore changed? A running JVM keeps what it read first, and the first truststore it "
    "used serves all its connections."
)
OLD_FALLBACK = (
    "In the mode `SSL` an old Allegra tries IMAP and POP3 again in plaintext after TLS has failed, which hides an untrusted "
    "certificate behind a hang or an end of file."
)
_NO_TLS_YET = "This is the network, not TLS: no certificate was looked at, and no import helps."
_TO_THE_END = "Paste the text down to the last `Caused by`."
_PROBE = "Probe the server and have its chain judged."
_MAIL_DEBUG = (
    "Set com.aurel.track.util.emailHandling to DEBUG (server administration, logging configuration), repeat the failure, and "
    "paste the whole stack trace."
)
_LDAP_DEBUG = (
    "Set com.aurel.track.util.LdapUtil to DEBUG (server administration, logging configuration), repeat the failure, and paste "
    "the whole stack trace."
)
_JSSE_DEBUG = (
    "If that does not tell, start the JVM once with -Djavax.net.debug=ssl,trustmanager: it logs the file that it takes "
    "(`trustStore is:`) and why it refuses."
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """One known trouble: the texts that give it away, what they mean, what to check, and the notebook to go on with.

    `hides_cause` marks texts that tell where something failed and not why.
    """

    code: str
    phrases: tuple[str, ...]
    meaning: str
    checks: tuple[str, ...]
    notebook: str
    hides_cause: bool = False


AROUND_TLS = (
    Trouble(
        "no_keystore",
        ("There is no keystore at", "Inaccessible trust store"),
        "The file that Allegra names as truststore is missing or unreadable; Java takes the JVM's own cacerts then, in silence.",
        (
            "For a server whose certificate is of a public CA that is in order.",
            "Otherwise import into exactly this file; the import creates it. Allegra's user must be able to read it.",
        ),
        IMPORT,
    ),
    Trouble(
        "unknown_host",
        (
            "UnknownHostException",
            "Name or service not known",
            "Temporary failure in name resolution",
            "Der Name oder der Dienst ist nicht bekannt",
        ),
        "Allegra's host does not know this server name.",
        (_NO_TLS_YET, "Is the name typed correctly? A blank at its end counts.", FROM_THAT_HOST),
        SURVEY,
    ),
    Trouble(
        "unreachable",
        ("No route to host", "Network is unreachable", "Keine Route zum Zielrechner"),
        "There is no way through the network from Allegra's host to the server.",
        (_NO_TLS_YET, FROM_THAT_HOST),
        SURVEY,
    ),
    Trouble(
        "refused",
        ("Connection refused", "Verbindungsaufbau abgelehnt"),
        "Nothing listens on this port, or a firewall refuses the connection.",
        (
            _NO_TLS_YET,
            "Is it the port for this security mode? Old versions take 465 for sending in the mode `SSL`, whatever is entered.",
            FROM_THAT_HOST,
        ),
        SURVEY,
    ),
    Trouble(
        "timeout",
        ("SocketTimeoutException", "Connection timed out", "Connect timed out", "Read timed out", "Wartezeit für die Verbindung"),
        "The server did not answer in time.",
        (
            "While connecting: a firewall drops the packets, or the address is wrong; TLS has not begun.",
            "While reading: mostly security mode and port do not fit, so that both sides wait for the other.",
            OLD_FALLBACK,
            FROM_THAT_HOST,
        ),
        SURVEY,
    ),
    Trouble(
        "reset",
        (
            "Connection reset",
            "Broken pipe",
            "Verbindung wurde vom Kommunikationspartner zurückgesetzt",
            "Connection dropped by server",
            "EOF on socket",
        ),
        "The server, or a firewall or proxy between, broke the connection off.",
        ("Does the server limit connections, or block this address?", OLD_FALLBACK, FROM_THAT_HOST),
        SURVEY,
    ),
    Trouble(
        "login_refused",
        (
            "LDAP: error code 49",
            "[AUTHENTICATIONFAILED]",
            "Authentication unsuccessful",
            "Username and Password not accepted",
            "Invalid credentials",
            "535 5.7.",
        ),
        "The server refuses user or password; the connection itself, with TLS where it is used, came about.",
        ("Check user, password, and how the server wants to be logged in to (OAuth2, app password); no import helps.",),
        SURVEY,
    ),
)
"""What goes wrong before TLS begins, and after it."""

GENERAL = (
    Trouble(
        "path_refused",
        ("PKIX path validation failed", "CertPathValidatorException", "ValidatorException"),
        "Java found a path to the truststore and refuses it, for a reason that is not in this text, or new to this table.",
        (_TO_THE_END, _PROBE),
        SURVEY,
        hides_cause=True,
    ),
    Trouble(
        "tls_failed",
        ("SSLHandshakeException", "SSLException", "SSLProtocolException", "SSLPeerUnverifiedException", "Received fatal alert"),
        "TLS failed, for a reason that is not in this text, or new to this table.",
        (_TO_THE_END, _PROBE, _JSSE_DEBUG),
        ONE_FAILURE,
        hides_cause=True,
    ),
    Trouble(
        "login_failed",
        ("AuthenticationFailedException", "javax.naming.AuthenticationException"),
        "The login failed: mostly user or password, but mail libraries wrap failures of the connection in this too.",
        ("Check user and password.", _MAIL_DEBUG),
        ONE_FAILURE,
        hides_cause=True,
    ),
    Trouble(
        "keystore_failed",
        ("keytool error:", "Keytool-Fehler:", "KeyStoreException", "UnrecoverableKeyException"),
        "keytool or Java could not work with a keystore, for a reason that is new to this table.",
        ("Read the keystore here, and let a plan make the change instead of keytool.",),
        IMPORT,
        hides_cause=True,
    ),
    Trouble(
        "ended_early",
        ("EOFException",),
        "Something ended too early: a keystore file that is cut off or no keystore at all, or a connection.",
        ("Read the keystore here, and restore its backup if it is damaged.", "If it was a connection, probe the server."),
        ONE_FAILURE,
        hides_cause=True,
    ),
)
"""Asked only where no cause is found."""

LDAP_CONNECT = Trouble(
    "ldap_connect",
    (
        "initial ldap context failed with",
        "initial dir context failed with",
        "naming.CommunicationException",
        "simple bind failed:",
    ),
    "The connection to the directory failed; Java's message for that is only host and port, the cause stands behind it.",
    (_LDAP_DEBUG, "Probe the server: LDAPS checks the certificate against keystore/trackplus.ks, and its name.", _JSSE_DEBUG),
    ONE_FAILURE,
    hides_cause=True,
)

WRAPPERS = (
    Trouble(
        "store_not_loaded",
        ("problem accessing trust store", "Error constructing implementation", "Default SSL context init failed"),
        "Java could not load the truststore, so no TLS connection of this JVM works; even its stack trace may not say why.",
        (
            "Read here the keystore that Allegra uses: it is empty, cut off, PEM or text, or in a format new to this Java.",
            "If the JVM has the option -Djavax.net.ssl.trustStorePassword: is it the password of that file?",
            RESTART,
        ),
        ONE_FAILURE,
        hides_cause=True,
    ),
    Trouble(
        "starttls_upgrade",
        ("Could not convert socket to TLS", "Exception in startTLS using", "STARTTLS failure"),
        "The server accepted STARTTLS, and then TLS failed; the cause stands behind this text.",
        (_MAIL_DEBUG, _PROBE, _JSSE_DEBUG),
        ONE_FAILURE,
        hides_cause=True,
    ),
    Trouble(
        "mail_connect",
        (
            "Could not connect to SMTP host",
            "Couldn't connect to host, port",
            "Can't send command to SMTP host",
            "MessagingException: Connect failed",
        ),
        "The connection to the mail server failed, in the network or in TLS; the cause stands behind this text.",
        (_MAIL_DEBUG, _PROBE),
        ONE_FAILURE,
        hides_cause=True,
    ),
    LDAP_CONNECT,
    Trouble(
        "incoming_mail",
        ("Incoming e-mail settings don't work",),
        "Fetching mail failed; what follows the user's name is all that Allegra tells of the cause.",
        (_MAIL_DEBUG, _PROBE),
        ONE_FAILURE,
        hides_cause=True,
    ),
    Trouble(
        "smtp_send",
        (
            "Sending the email to the following server failed",
            "Sending the mail with limited e-mail connections failed",
            "Can't send email",
            "Fehler beim Senden",
        ),
        "Sending failed; this text never says why.",
        (_MAIL_DEBUG, _PROBE),
        ONE_FAILURE,
        hides_cause=True,
    ),
)
"""Texts around a cause, the innermost first."""

UNKNOWN = Trouble(
    "unknown",
    (),
    "Nothing in this text is a trouble that this table knows; the cause may stand further down, or in another log.",
    (
        "Paste the part with the exception, down to the last `Caused by`.",
        f"For mail: {_MAIL_DEBUG}",
        f"For the directory: {_LDAP_DEBUG}",
        _JSSE_DEBUG,
        f"{_PROBE} That needs no log.",
    ),
    ONE_FAILURE,
)
