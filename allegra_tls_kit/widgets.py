"""The form of an import: its only product is a frozen choice, and the certificate that belongs to it; cells act on them.

What it needs of disk is read when it is made; a file that a person puts into it is read from the message that brings it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ipywidgets

from allegra_tls_kit.anchor import AnchorCandidate, anchor_candidates
from allegra_tls_kit.certificate import certificate_facts, certificates_in, keytool_notation
from allegra_tls_kit.choice import ImportChoice, check_fingerprint, is_password_source, reference_fingerprint
from allegra_tls_kit.errors import CertificateError, FingerprintError, KeystoreError, SecretError
from allegra_tls_kit.files import LONGEST_CERTIFICATES, default_anchors
from allegra_tls_kit.form import Form, labelled, said
from allegra_tls_kit.reach import effect_of, show_reaches, store_reaches
from allegra_tls_kit.report import show_candidates, show_diagnosis
from allegra_tls_kit.static import Code, Details, Note, Part, Static, Table, Tone
from allegra_tls_kit.survey import Probe, ProbeFailure, judge
from allegra_tls_kit.text import count, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from allegra_tls_kit.locate import Allegra

PASSWORD_SOURCES = ("changeit", "prompt", "env:STOREPASS", "file:~/.storepass")
LONGEST_COMMAND = 4096
CERTIFICATE_FILES = ".cer,.crt,.pem,.der,.p7b,.p7c"
_SOURCES = "choose prompt, env:NAME, file:PATH or changeit"
_NO_SOURCE = f"That was no source of a password, and was cleared; {_SOURCES}."


class ImportGuide(Form):
    """Choose what to import: the server, the certificate, the proof of its fingerprint, the keystore, the password's source.

    Put the form at the end of a cell to show it, and take `form.value` and `form.certificate()` in the next one. The arguments
    fill it beforehand, so that an unattended run gets the same choice without a hand; a certificate that `reference` names is
    chosen before the recommended one. `anchors` (DER) are what Java trusts already, for the verdict; `at_hand` (DER) are
    certificates from the provider, offered beside those that the server showed and what the runtime of `allegra` trusts, like
    those of a file put into the form. Of a server that Java trusts what it could be trusted by is offered all the same, and not
    recommended: another store may lack it, and a run that is repeated finds it again.
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
        """Judge each result, look at its keystores, build the form; raises ValueError where no server showed a certificate.

        Raises SecretError for a password in the place of its source.
        """
        self._judged = {r.endpoint.url: (r, judge(r, anchors)) for r in results if r.chain}
        if not self._judged:
            raise ValueError("no server showed a certificate; survey them first and look at the failures")
        given = ImportChoice("", "", reference, reference_from, keystore, password_from, operator, ticket)
        self._stores = {url: store_reaches(result.endpoint, allegra) for url, (result, _) in self._judged.items()}
        self._at_hand: tuple[bytes, ...] = tuple(at_hand)
        self._of_runtime: tuple[bytes, ...] = ()
        with suppress(KeystoreError):  # what cannot be read is not offered; where Java reads it, the verdict says so
            self._of_runtime = default_anchors(allegra)
        self._keystore_given = bool(keystore)
        super().__init__(*self._proof(given), *self._place(given))

    def _proof(self, given: ImportChoice) -> tuple[Any, ...]:
        """Make the fields of what is imported, and why it is to be believed."""
        first = next((url for url, (_, diagnosis) in self._judged.items() if not diagnosis.trusted), next(iter(self._judged)))
        self._server = labelled(ipywidgets.Dropdown, "Server", options=list(self._judged), value=first)
        self._upload = _upload_button()
        self._certificate = labelled(ipywidgets.Dropdown, "Certificate to import", options=())
        self._reference = _text("Reference SHA-256", given.reference, "paste what whoever runs the server tells you")
        self._reference_from = _text("Reference from", given.reference_from, "who said so, and how: never the server")
        self._verdict, self._uploaded, self._consequence, self._all, self._match = (said() for _ in range(5))
        certificate = (self._upload, self._uploaded, self._certificate, self._consequence, self._all)
        return self._server, self._verdict, *certificate, self._reference, self._reference_from, self._match

    def _place(self, given: ImportChoice) -> tuple[Any, ...]:
        """Make the fields of where it is imported, and by whom."""
        hint = "prompt, env:NAME, file:PATH or changeit; never the password"
        self._keystore = labelled(
            ipywidgets.Combobox, "Keystore", value=given.keystore, placeholder="choose one, or write a path"
        )
        # Not at each keystroke: what is no source is cleared, and the beginning of one is none.
        self._password = labelled(ipywidgets.Combobox, "Password from", continuous_update=False, placeholder=hint)
        self._password.options, self._password.value = PASSWORD_SOURCES, given.password_from
        self._operator, self._ticket = _text("Operator", given.operator), _text("Ticket", given.ticket)
        self._effect, self._reach, self._no_source = said(), said(), said()
        return self._keystore, self._effect, self._reach, self._password, self._no_source, self._operator, self._ticket

    @property
    def value(self) -> ImportChoice:
        """The choice as it stands: frozen, and its `repr` can be pasted into a cell in the form's place.

        Raises SecretError where no source of the password is named.
        """
        with self._lock:
            if not self._password.value.strip():
                raise SecretError(f"the form names no source of the password; {_SOURCES}")
            return self._choice()

    def _choice(self) -> ImportChoice:
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

    def certificate(self) -> bytes:
        """Return the chosen certificate (DER) after comparing it with the reference; raises what `checked_certificate` does."""
        with self._lock:
            return self.value.checked_certificate(self._known())

    # --- what a change brings about ------------------------------------------------------------------------------------------

    def _answer(self, changed: object) -> None:
        if changed is self._upload:
            self._take_in()
        if changed in (None, self._server, self._upload):
            self._offer_certificates()
        if changed in (None, self._server):
            self._offer_keystores()
        if changed is self._password:
            self._require_source()
        chosen = self._certificate.value
        self._consequence.value = "" if chosen is None else Static((_consequence(chosen),)).html()
        self._match.value = Static((self._comparison(),)).html()
        self._effect.value = Static((effect_of(self._keystore.value.strip(), self._stores[self._server.value]),)).html()

    def _require_source(self) -> None:
        is_source = is_password_source(self._password.value.strip())
        self._no_source.value = "" if is_source else Static((Note(Tone.BAD, _NO_SOURCE),)).html()
        if not is_source:
            self._password.value = ""  # it may be the password itself

    def _take_in(self) -> None:
        """Add the certificates of the file that was put into the form, and keep nothing else of it."""
        files = [(visible(each["name"], 80), bytes(each["content"])) for each in self._upload.value]
        self._upload.value = ()
        for name, content in files:
            try:
                found = _certificates(name, content)
                self._candidates(found)  # whatever is wrong with one of them shows before it is kept
            except CertificateError as error:
                self._uploaded.value = Static((Note(Tone.BAD, f"Not taken: {error}"),)).html()
                return
            self._at_hand = tuple(dict.fromkeys((*self._at_hand, *found)))
            self._uploaded.value = Static((self._helps(name, found),)).html()

    def _helps(self, name: str, found: Sequence[bytes]) -> Note:
        helping = sum(candidate.der in found for candidate in self._candidates())
        server = self._judged[self._server.value][0].endpoint.url
        tone = Tone.OK if helping else Tone.WARN
        return Note(
            tone, f"{name}: {count(len(found), 'certificate')}, of which {helping or 'none'} would make Java trust {server}."
        )

    def _candidates(self, more: Sequence[bytes] = ()) -> tuple[AnchorCandidate, ...]:
        result, diagnosis = self._judged[self._server.value]
        at_hand = (*self._at_hand, *more, *self._of_runtime)
        if not diagnosis.trusted:
            return anchor_candidates(diagnosis, at_hand)
        return tuple(replace(candidate, recommended=False) for candidate in anchor_candidates(judge(result, ()), at_hand))

    def _known(self) -> tuple[bytes, ...]:
        return (*self._judged[self._server.value][0].chain, *self._at_hand, *self._of_runtime)

    def _offer_certificates(self) -> None:
        _, diagnosis = self._judged[self._server.value]
        candidates = self._candidates()
        verdict, *_, next_step = show_diagnosis(diagnosis).parts
        said_below = any(candidate.recommended for candidate in candidates)
        self._verdict.value = Static((verdict,) if said_below else (verdict, next_step)).html()
        named = next((i for i, candidate in enumerate(candidates) if _is_named(candidate, self._reference.value)), 0)
        self._certificate.options = [(_label(candidate), candidate) for candidate in candidates]
        self._certificate.index = named if candidates else None
        self._all.value = show_candidates(candidates).html()

    def _offer_keystores(self) -> None:
        stores = self._stores[self._server.value]
        self._reach.value = Static((show_reaches(stores),)).html()
        self._keystore.options = [str(store.path) for store in stores]
        if not self._keystore_given:
            self._keystore.value = self._keystore.options[0]

    def _comparison(self) -> Note:
        chosen, reference = self._certificate.value, self._reference.value
        if chosen is None:
            return Note(Tone.INFO, "There is nothing to import for this server.")
        if not reference.strip():
            return Note(Tone.WARN, f"Not compared yet. The chosen certificate has SHA-256 {keytool_notation(chosen.sha256)}")
        try:
            check_fingerprint(chosen.der, reference, self._known())
        except FingerprintError as error:
            return Note(Tone.BAD, f"No match: {error}")
        return Note(Tone.OK, f"Match: {keytool_notation(chosen.sha256)}")

    # --- what stays when the kernel is gone ----------------------------------------------------------------------------------

    def twin(self) -> Static:
        """Return what was chosen, the same as a literal, and the command of the same import unattended."""
        choice, chosen = self._choice(), self._certificate.value
        result, diagnosis = self._judged[choice.endpoint]
        stores = self._stores[choice.endpoint]
        rows = {
            "server": choice.endpoint,
            "certificate": "" if chosen is None else _label(chosen),
            "SHA-256": "" if chosen is None else keytool_notation(chosen.sha256),
            "consequence": "" if chosen is None else chosen.consequence,
            "reference": visible(choice.reference),
            "reference from": visible(choice.reference_from),
            "keystore": visible(choice.keystore),
            "read in the modes": next((store.modes for store in stores if str(store.path) == choice.keystore), "not known"),
            "password from": visible(choice.password_from),
            "operator": visible(choice.operator),
            "ticket": visible(choice.ticket),
        }
        table = Table("As chosen", ("what", "value"), tuple((what, value or "not given") for what, value in rows.items()))
        verdict = show_diagnosis(diagnosis).parts[0]
        found = chosen is None or chosen.der in (*result.chain, *self._of_runtime)
        notes = (verdict, self._comparison(), effect_of(choice.keystore, stores))
        return Static((table, *notes, *_as_text(choice, found=found)))


def _upload_button() -> Any:  # noqa: ANN401 - ipywidgets has no types
    return ipywidgets.FileUpload(
        accept=CERTIFICATE_FILES,
        multiple=False,
        icon="",
        description="Add certificates from the provider's file, up to 4 MB",  # above 10 MB JupyterLab drops it without a word
        tooltip=f"A file with certificates, not a key: {CERTIFICATE_FILES.replace(',', ' ')}",
        layout=ipywidgets.Layout(width="max-content", max_width="100%"),
    )


def _certificates(name: str, content: bytes) -> tuple[bytes, ...]:
    if len(content) > LONGEST_CERTIFICATES:
        raise CertificateError(
            f"{name}: more than {LONGEST_CERTIFICATES // 2**20} MB; give a file with the CA's certificate alone"
        )
    return certificates_in(content, name)


def _text(label: str, value: str, placeholder: str = "") -> Any:  # noqa: ANN401 - as above
    return labelled(ipywidgets.Text, label, value=value, placeholder=placeholder)


def _label(candidate: AnchorCandidate) -> str:
    """Return what a candidate is listed as; the beginning of its fingerprint tells those of one name apart."""
    facts = certificate_facts(candidate.der)
    mark = ", recommended" if candidate.recommended else ""
    short = keytool_notation(candidate.sha256[:8])
    return f"{candidate.role}{mark}: {visible(facts.name, 60)}, until {facts.not_after:%Y-%m-%d}, {short}…"


def _consequence(candidate: AnchorCandidate) -> Note:
    tone = Tone.INFO if candidate.recommended else Tone.WARN
    return Note(tone, f"If you import this one: {candidate.consequence}")


def _is_named(candidate: AnchorCandidate, reference: str) -> bool:
    try:
        return reference_fingerprint(reference) == candidate.sha256
    except FingerprintError:
        return False


def _as_text(choice: ImportChoice, *, found: bool) -> Iterator[Part]:
    """Give the choice as a literal and as a command, with what the command cannot know."""
    if not choice.password_from:
        yield Note(Tone.BAD, f"No source of the password is named; {_SOURCES}.")
        return
    parts: list[Part] = [Code(f"kit.{choice!r}"), Code(visible(choice.run_command(), LONGEST_COMMAND))]
    if not found:
        parts.append(
            Note(Tone.INFO, "The server does not send this certificate: add -p CERTIFICATE_FILE=… and the provider's file.")
        )
    if choice.password_from == "prompt":  # noqa: S105 - a source
        parts.append(Note(Tone.WARN, "Nobody can be asked in an unattended run: replace prompt by env:NAME or file:PATH."))
    yield Details("The same as a literal, and as a command", tuple(parts))
