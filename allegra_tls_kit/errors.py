"""What can go wrong, by name.

Rule 1: a message says the thing, the fact and the next step, and never a secret.
Rule 2: each error belongs to a built-in family too, so that `except TimeoutError` keeps its meaning.
Rule 3: plain classes with one argument, the message, so that they can be pickled; a frozen dataclass would break in
`contextlib.contextmanager` (CPython issue 99856).
"""

from __future__ import annotations


class KitError(Exception):
    """Whatever this kit refuses or fails to do; never raised as such."""

    def _render_traceback_(self) -> list[str]:
        """Give IPython the sentence instead of the stack: it is meant for whoever sits in front of the notebook."""
        return [f"{type(self).__name__}: {self}"]


class EndpointError(KitError, ValueError):
    """An endpoint, or a list of them, that cannot be read."""


class CertificateError(KitError, ValueError):
    """Bytes or a file that should have been certificates, and are not."""


class FingerprintError(KitError, ValueError):
    """A reference fingerprint that proves nothing: not SHA-256, not whole, or not this certificate's."""


class NotCompared(FingerprintError):  # noqa: N818 - what is missing is its name
    """No reference fingerprint was given, or nobody who said it: a person has to get one first."""


class SecretError(KitError, LookupError):
    """A password that could not be had from where it was said to be."""


class JournalError(KitError, OSError):
    """A journal that cannot be written or read."""


class SurveyError(KitError, ValueError):
    """A file that should hold a survey and does not, or not whole; or a survey that no file could hold."""


class ExportError(KitError, OSError):
    """A file that cannot be written as asked; what was there before is as it was."""


class RecordError(KitError, OSError):
    """A record folder that is not there, or cannot be read or written."""


class SigningError(KitError, ValueError):
    """A key that cannot sign a record or check its signature; nothing of it is repeated."""


class LocateError(KitError, LookupError):
    """Allegra's home, or a store in it, that could not be found."""


class RunbookError(KitError, ValueError):
    """A notebook that cannot be run as asked: unknown name, unknown parameter, wrong type, a secret."""


class RunbookFailed(KitError, RuntimeError):  # noqa: N818 - it failed; that is its name
    """A notebook that stopped at a failing cell; the executed copy was written before this was raised."""


class RunbookStopped(RunbookFailed):
    """A notebook that stopped where a person has to compare or to confirm; what had not been confirmed was not changed."""


# --- the network -----------------------------------------------------------------------------------------------------------


class ProbeError(KitError):
    """A probe that gave no usable chain."""


class NameNotResolved(ProbeError, OSError):  # noqa: N818
    """The host name has no address, as the resolver of this machine sees it."""


class ConnectFailed(ProbeError, ConnectionError):  # noqa: N818
    """No TCP connection: refused, unreachable, forbidden."""


class ProbeTimeout(ProbeError, TimeoutError):  # noqa: N818
    """The total deadline of the endpoint passed."""


class ConnectionLost(ProbeError, ConnectionResetError):  # noqa: N818
    """The server closed or reset the connection in the middle."""


class ReplyTooLong(ProbeError, ValueError):  # noqa: N818
    """More plaintext than a decent server sends before TLS."""


class UnexpectedReply(ProbeError, ValueError):  # noqa: N818
    """Plaintext that is not the protocol which was expected."""


class ServiceRefused(ProbeError, ConnectionError):  # noqa: N818
    """The server greets with a refusal: SMTP 421 or 554, IMAP BYE, POP3 -ERR, an LDAP notice of disconnection."""


class StartTlsNotOffered(ProbeError, ConnectionError):  # noqa: N818
    """The server does not list STARTTLS among its extensions."""


class StartTlsRefused(ProbeError, ConnectionError):  # noqa: N818
    """The server answered STARTTLS with a refusal."""


class PlaintextAfterStartTls(ProbeError, ConnectionError):  # noqa: N818
    """Plaintext behind the go-ahead: a broken server, or somebody injecting (the class of CVE-2011-0411)."""


class NotTls(ProbeError, ConnectionError):  # noqa: N818
    """The first bytes where TLS should be are not TLS."""


class HandshakeFailed(ProbeError, ConnectionError):  # noqa: N818
    """TLS began and broke off; the chain may have been seen all the same."""


class NoCertificate(ProbeError, ConnectionError):  # noqa: N818
    """The handshake was completed without a certificate of the server."""


class NotProbed(ProbeError, RuntimeError):  # noqa: N818
    """Nobody looked to the end: the run was stopped, or the worker that was to look is gone."""


# --- keystores and changes -------------------------------------------------------------------------------------------------


class KeystoreError(KitError, ValueError):
    """A keystore that cannot be read, or not be written without loss."""


class WrongPassword(KeystoreError, PermissionError):  # noqa: N818
    """The keystore does not open with this password."""


class PasswordNeeded(KeystoreError, PermissionError):  # noqa: N818
    """What was asked for needs the keystore's password, and none was given."""


class UnreadableKeystore(KeystoreError):  # noqa: N818
    """Not a keystore, or a damaged one."""


class WouldLose(KeystoreError):  # noqa: N818
    """No writer at hand can make this change without losing something else; nothing was written."""


class ChangeError(KitError):
    """A change that was not made; the keystore is byte for byte what it was."""


class PlanRefused(ChangeError, ValueError):  # noqa: N818
    """A plan that cannot be made or applied as it stands: conflict, nothing to do, foreign change."""


class StalePlan(ChangeError, RuntimeError):  # noqa: N818
    """The keystore is not the one that the plan was made from."""


class NotConfirmed(ChangeError, PermissionError):  # noqa: N818
    """`confirm` is not the id of the plan."""


class KeystoreLocked(ChangeError, TimeoutError):  # noqa: N818
    """Another change to the same file is in progress."""


class NotWritable(ChangeError, PermissionError):  # noqa: N818
    """The keystore, or its folder, cannot be written in a way that keeps what it is."""


class UnexpectedOutcome(ChangeError, RuntimeError):  # noqa: N818
    """The prepared file did not read back as planned, or the written one does not hold; the message says which state is live."""


class JavaError(KitError, RuntimeError):
    """A program of the JDK that is missing, died, or said something that is no answer."""
