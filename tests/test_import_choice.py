from __future__ import annotations

import shlex
from dataclasses import replace

import nbformat
import pytest

from allegra_tls_kit import ImportChoice
from allegra_tls_kit.__main__ import main
from allegra_tls_kit.certificate import keytool_notation, sha256_of
from allegra_tls_kit.errors import EndpointError, FingerprintError, NotCompared, SecretError
from allegra_tls_kit.runbook import checked_parameters, templates
from tests.stores import LEAF, NEW, ROOT


def choice(**changed: str) -> ImportChoice:
    chosen = ImportChoice(
        endpoint="imaps://mail.example.com:993",
        certificate=sha256_of(NEW.der),
        reference=keytool_notation(sha256_of(NEW.der)),
        reference_from="Ada of the mail team, by telephone",
        keystore="/srv/allegra/keystore/mail.example.com.ks",
        operator="Grace \N{SNOWMAN} 'G' \"H\" \\ \n",
    )
    return replace(chosen, **changed)


def test_a_choice_gives_the_certificate_whose_fingerprint_matches() -> None:
    assert choice().checked_certificate([ROOT.der, NEW.der]) == NEW.der
    assert choice(certificate=sha256_of(NEW.der).upper()).checked_certificate(iter([NEW.der])) == NEW.der


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"reference": sha256_of(ROOT.der)}, "do not import it"),
        ({"reference": "ab" * 20}, "a SHA-1 fingerprint is no proof"),
        ({"reference": sha256_of(NEW.der)[:63]}, "63 hexadecimal digits"),
        ({"reference": ""}, "nothing is no proof"),
        ({"reference_from": " \n"}, "say from whom"),
        ({"certificate": sha256_of(LEAF.der)}, "look again and choose again"),
        ({"certificate": ""}, "no certificate was chosen"),
    ],
)
def test_a_choice_without_proof_gives_nothing(changed: dict[str, str], said: str) -> None:
    with pytest.raises(FingerprintError, match=said):
        choice(**changed).checked_certificate([ROOT.der, NEW.der])


def test_a_choice_is_pasted_as_a_literal_and_names_the_source_of_a_password_only() -> None:
    assert eval(repr(choice(password_from="env:STOREPASS")), {"ImportChoice": ImportChoice}) == choice(
        password_from="env:STOREPASS"
    )
    assert "changeit" in repr(choice())


def test_without_a_reference_nothing_was_compared() -> None:
    for missing in ({"reference": " "}, {"reference_from": ""}):
        with pytest.raises(NotCompared):
            choice(**missing).checked_certificate([NEW.der])


HOSTILE = "'; rm -rf / #\n$(id) `id` \" -p X=1"
WHOLE = choice(password_from="env:STOREPASS", reference_from=HOSTILE, operator=HOSTILE, ticket="CHG 1")


def parameters_of(command: str) -> dict[str, str]:
    python, module, kit, run, notebook, *words = shlex.split(command)
    assert (python, module, kit, run, notebook) == ("python", "-m", "allegra_tls_kit", "run", "20_import_certificate")
    assert set(words[::2]) <= {"-p"}
    return {name: value for name, _, value in (word.partition("=") for word in words[1::2])}


def test_the_command_of_the_unattended_run_has_every_parameter_as_the_notebook_takes_it() -> None:
    parameters = parameters_of(WHOLE.run_command(confirm="a0b58fc0"))
    assert parameters == {
        "ENDPOINT": WHOLE.endpoint,
        "REFERENCE": WHOLE.reference,
        "REFERENCE_FROM": HOSTILE,
        "KEYSTORE": WHOLE.keystore,
        "PASSWORD_FROM": "env:STOREPASS",
        "OPERATOR": HOSTILE,
        "TICKET": "CHG 1",
        "CONFIRM": "a0b58fc0",
    }
    notebook = nbformat.read(templates()["20_import_certificate"], as_version=4)  # type: ignore[no-untyped-call]
    assert checked_parameters(notebook, parameters) == parameters


def test_the_command_leaves_out_what_is_empty_or_the_notebook_s_own() -> None:
    assert set(parameters_of(choice(operator="").run_command())) == {"ENDPOINT", "REFERENCE", "REFERENCE_FROM", "KEYSTORE"}


def test_the_shell_s_program_takes_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[object] = []

    def run(notebook: str, _: object, parameters: dict[str, str]) -> None:
        taken.extend((notebook, parameters))
        raise EndpointError("stopped here")

    monkeypatch.setattr("allegra_tls_kit.runbook.run_notebook", run)
    command = WHOLE.run_command()
    assert main(shlex.split(command)[3:]) == 2
    assert taken == ["20_import_certificate", parameters_of(command)]


def test_no_password_gets_into_the_command() -> None:
    with pytest.raises(SecretError):
        choice(password_from="hunter2")
    with pytest.raises(EndpointError) as raised:
        choice(endpoint="imaps://me:hunter2@mail.example.com").run_command()
    assert "hunter2" not in str(raised.value)
