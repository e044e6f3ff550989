"""Forms whose only product is a frozen choice; cells act on it.

No callback here opens a connection, makes a plan or writes a file. What a form shows of a server comes escaped from `static`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets

from allegra_tls_kit.anchor import AnchorCandidate, anchor_candidates
from allegra_tls_kit.certificate import certificate_facts, check_fingerprint, keytool_notation
from allegra_tls_kit.effective import LDAPS_STORE
from allegra_tls_kit.endpoint import Protocol
from allegra_tls_kit.errors import FingerprintError
from allegra_tls_kit.plan import ImportChoice
from allegra_tls_kit.report import show_candidates, show_diagnosis
from allegra_tls_kit.static import Note, Static, Tone
from allegra_tls_kit.survey import Probe, ProbeFailure, judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from allegra_tls_kit.locate import Allegra

_WIDE = {"width": "46em"}
_LABELS = {"description_width": "12em"}
PASSWORD_SOURCES = ("changeit", "prompt", "env:STOREPASS", "file:~/.storepass")
_LEFT_BEHIND = Static((Note(Tone.INFO, "Here the form was shown; what was chosen in it stands in the output of the next cell."),))


class ImportGuide:
    """Choose what to import: the server, the certificate, the proof of its fingerprint, the keystore, the password's source.

    Put the form at the end of a cell to show it, and take `form.value` in the next one. The arguments fill it beforehand, so that
    an unattended run gets the same choice without a hand; `anchors` (DER) are what Java trusts already, for the verdict;
    `at_hand` (DER) are certificates from the provider, offered beside those that the server showed.
    """

    def __init__(  # noqa: PLR0913 - the fields of the form
        self,
        results: Iterable[Probe | ProbeFailure],
        allegra: Allegra,
        *,
        anchors: Sequence[bytes] = (),
        at_hand: Sequence[bytes] = (),
        reference: str = "",
        reference_from: str = "",
        keystore: str = "",
        password_from: str = "changeit",  # noqa: S107 - a source
        operator: str = "",
        ticket: str = "",
    ) -> None:
        """Judge each result and build the form; raises ValueError where no server showed a certificate, and SecretError."""
        self._judged = {r.endpoint.url: (r, judge(r, anchors)) for r in results if r.chain}
        if not self._judged:
            raise ValueError("no server showed a certificate; survey them first and look at the failures")
        given = ImportChoice("", "", reference, reference_from, keystore, password_from, operator, ticket)
        self._allegra, self._at_hand = allegra, at_hand
        first = next((url for url, (_, diagnosis) in self._judged.items() if not diagnosis.trusted), next(iter(self._judged)))
        self._server = _field(ipywidgets.Dropdown, "Server", options=list(self._judged), value=first)
        self._verdict = ipywidgets.HTML()
        self._certificate = _field(ipywidgets.RadioButtons, "Certificate to import")
        self._consequences = ipywidgets.HTML()
        self._reference = _text("Reference SHA-256", value=reference, placeholder="paste what whoever runs the server tells you")
        self._reference_from = _text("Reference from", value=reference_from, placeholder="who said so, and how: never the server")
        self._match = ipywidgets.HTML()
        self._keystore = _field(ipywidgets.Combobox, "Keystore", value=keystore)
        self._password = _field(ipywidgets.Combobox, "Password from", value=given.password_from, options=PASSWORD_SOURCES)
        self._operator = _text("Operator", value=operator)
        self._ticket = _text("Ticket", value=ticket)
        self._keystore_given = bool(keystore)
        self.box = ipywidgets.VBox([getattr(self, name) for name in _ORDER])
        self._server.observe(self._server_chosen, "value")
        for widget in (self._certificate, self._reference):
            widget.observe(self._compared, "value")
        self._server_chosen()

    @property
    def value(self) -> ImportChoice:
        """The choice as it stands: frozen, and its `repr` can be pasted into a cell in the form's place.

        Raises SecretError where a password stands in the place of its source: it would go into the record.
        """
        return ImportChoice(
            endpoint=self._server.value,
            certificate=self._certificate.value.sha256 if self._certificate.value else "",
            reference=self._reference.value.strip(),
            reference_from=self._reference_from.value.strip(),
            keystore=self._keystore.value.strip(),
            password_from=self._password.value.strip(),
            operator=self._operator.value.strip(),
            ticket=self._ticket.value.strip(),
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:  # noqa: ARG002 - Jupyter's
        return {**self.box._repr_mimebundle_(), **_LEFT_BEHIND._repr_mimebundle_()}

    def _server_chosen(self, _change: object = None) -> None:
        result, diagnosis = self._judged[self._server.value]
        candidates = anchor_candidates(diagnosis, self._at_hand)
        verdict, *_, next_step = show_diagnosis(diagnosis).parts
        self._verdict.value = Static((verdict, next_step)).html()
        self._certificate.options = [(_label(candidate), candidate) for candidate in candidates]
        self._certificate.index = 0 if candidates else None
        self._consequences.value = show_candidates(candidates).html()
        self._keystore.options = [str(path) for path in self._stores(result)]
        if not self._keystore_given:
            self._keystore.value = self._keystore.options[0]
        self._compared()

    def _stores(self, result: Probe | ProbeFailure) -> list[Any]:
        """Return the stores that Allegra may read for this server, the likely one first."""
        own = self._allegra.keystore_for(result.endpoint.host)
        ldaps = self._allegra.keystore_folder / LDAPS_STORE
        stores = [ldaps, own] if result.endpoint.protocol is Protocol.LDAP else [own]
        return stores if self._allegra.cacerts is None else [*stores, self._allegra.cacerts.path]

    def _compared(self, _change: object = None) -> None:
        self._match.value = Static((_comparison(self._certificate.value, self._reference.value),)).html()


_ORDER = (
    "_server",
    "_verdict",
    "_certificate",
    "_consequences",
    "_reference",
    "_reference_from",
    "_match",
    "_keystore",
    "_password",
    "_operator",
    "_ticket",
)


def _field(kind: type[Any], label: str, **options: Any) -> Any:  # noqa: ANN401 - ipywidgets has no types
    return kind(description=label, layout=ipywidgets.Layout(**_WIDE), style=_LABELS, **options)


def _text(label: str, **options: Any) -> Any:  # noqa: ANN401 - as above
    return _field(ipywidgets.Text, label, **options)


def _label(candidate: AnchorCandidate) -> str:
    mark = " (recommended)" if candidate.recommended else ""
    facts = certificate_facts(candidate.der)
    return f"{candidate.role}: {facts.name}, valid until {facts.not_after:%Y-%m-%d}{mark}"


def _comparison(candidate: AnchorCandidate | None, reference: str) -> Note:
    if candidate is None:
        return Note(Tone.INFO, "There is nothing to import for this server.")
    if not reference.strip():
        return Note(Tone.WARN, f"Not compared yet. The chosen certificate has SHA-256 {keytool_notation(candidate.sha256)}")
    try:
        check_fingerprint(candidate.der, reference)
    except FingerprintError as error:
        return Note(Tone.BAD, f"No match: {error}")
    return Note(Tone.OK, f"Match: {keytool_notation(candidate.sha256)}")
