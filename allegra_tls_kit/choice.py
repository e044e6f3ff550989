"""What a person chose in a form, as values: frozen, and the `repr` of one can be pasted into a cell in the form's place."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from allegra_tls_kit.certificate import check_fingerprint, sha256_of
from allegra_tls_kit.endpoint import Endpoint
from allegra_tls_kit.errors import FingerprintError, NotCompared, SecretError

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTEBOOK = "20_import_certificate"


@dataclass(frozen=True, slots=True)
class ImportChoice:
    """What a person chose for an import; its `repr` can be pasted as a literal for an unattended run.

    `endpoint` is a URL, `certificate` the SHA-256 of the one to import, `reference` the fingerprint that was had over another
    channel, as pasted, and `reference_from` says from whom. `password_from` is a source, never a password.
    """

    endpoint: str
    certificate: str
    reference: str
    reference_from: str
    keystore: str
    password_from: str = "changeit"  # noqa: S105 - a source; this one is Java's published default
    operator: str = ""
    ticket: str = ""

    def __post_init__(self) -> None:
        """Refuse a password in the place of its source, with SecretError: a choice goes into the record."""
        if not is_password_source(self.password_from):
            raise SecretError(
                "password_from is no source; write prompt, env:NAME, file:PATH or changeit, never the password itself"
            )

    def checked_certificate(self, candidates: Iterable[bytes]) -> bytes:
        """Return the chosen certificate (DER) out of these, after comparing it with the reference.

        Raises NotCompared where no reference was given, or nobody who said it, and FingerprintError where it does not match, or
        the certificate is not among the candidates, as when the server has got another one since.
        """
        if not self.certificate:
            raise FingerprintError("no certificate was chosen; where the form offers none, no import would help this server")
        chosen = next((der for der in candidates if sha256_of(der) == self.certificate.lower()), None)
        if chosen is None:
            raise FingerprintError(
                f"the server does not show the chosen certificate {self.certificate[:16]}… any more; look again and choose again"
            )
        if not self.reference.strip():
            raise NotCompared("nothing is no proof; ask whoever runs the server for the certificate's whole SHA-256 fingerprint")
        if not self.reference_from.strip():
            raise NotCompared("say from whom the reference fingerprint is, in reference_from; it must not come from the server")
        check_fingerprint(chosen, self.reference)
        return chosen

    def run_command(self, confirm: str = "") -> str:
        """Return the command for a POSIX shell that makes the same import unattended; without `confirm` it stops at the plan.

        `confirm` is the plan's id. Empty parameters and `changeit` are left out; a certificate that the server does not send
        needs `-p CERTIFICATE_FILE=…` too, and `prompt` cannot be asked unattended. No password can be in it: a source stands in
        its place, and EndpointError is raised for a URL with one.
        """
        source = "" if self.password_from == "changeit" else self.password_from  # noqa: S105 - as above
        values = {
            "ENDPOINT": Endpoint.parse(self.endpoint).url,
            "REFERENCE": self.reference,
            "REFERENCE_FROM": self.reference_from,
            "KEYSTORE": self.keystore,
            "PASSWORD_FROM": source,
            "OPERATOR": self.operator,
            "TICKET": self.ticket,
            "CONFIRM": confirm,
        }
        words = [word for name, value in values.items() if value for word in ("-p", f"{name}={value}")]
        return shlex.join(["python", "-m", "allegra_tls_kit", "run", NOTEBOOK, *words])


@dataclass(frozen=True, slots=True)
class SurveyView:
    """What stood in a browser of a survey; `opened` is the URL of the server whose details were shown, empty for none.

    `state` is `all` or a state as `show_survey` words it, `sort` is `worst first`, `name` or `expiry`.
    """

    filter: str = ""
    state: str = "all"
    sort: str = "worst first"
    opened: str = ""


@dataclass(frozen=True, slots=True)
class KeystoreView:
    """What stood in a browser of a keystore; `opened` is the alias of the entry whose details were shown, empty for none.

    `state` is `all`, `seen by Java`, `ours` or `expires`, `sort` is `worst first`, `name` or `expiry`.
    """

    filter: str = ""
    state: str = "all"
    sort: str = "worst first"
    opened: str = ""


def is_password_source(text: str) -> bool:
    """Tell whether a text has the form of a password's source, or is empty; anything else may be a password."""
    return re.fullmatch(r"(env|file):.+|prompt|changeit|", text) is not None
