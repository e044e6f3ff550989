from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import allegra_tls_kit as kit
from allegra_tls_kit.java_home import Jvm, default_truststore
from allegra_tls_kit.reach import effect_of, show_reaches, store_reaches
from allegra_tls_kit.static import Tone
from tests.changing import made
from tests.shown import LEAF, ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from allegra_tls_kit.reach import StoreReach

HOST = "mail.example.com"


@pytest.fixture
def allegra(tmp_path: Path) -> kit.Allegra:
    """An Allegra without a keystore yet, on a Java with a cacerts."""
    security = tmp_path / "jdk" / "lib" / "security"
    security.mkdir(parents=True)
    (security / "cacerts").write_bytes(made({"root": ROOT.der}))
    (tmp_path / "keystore").mkdir()
    jvm = Jvm(tmp_path / "jdk", "somewhere", "21.0.8", default_truststore(tmp_path / "jdk"), None, None)
    return kit.Allegra(tmp_path, "argument", tmp_path / "keystore", (jvm,), ())


def reaches(url: str, allegra: kit.Allegra, **files: bytes) -> dict[str, StoreReach]:
    for name, data in files.items():
        (allegra.keystore_folder / f"{name}.ks").write_bytes(data)
    return {store.path.name: store for store in store_reaches(kit.Endpoint.parse(url), allegra)}


def test_a_store_that_is_not_there_yet_will_be_the_only_truth(allegra: kit.Allegra) -> None:
    found = reaches(f"smtp://{HOST}", allegra)
    own, cacerts = found.values()
    assert list(found) == [f"{HOST}.ks", "cacerts"]
    assert (own.modes, own.treatment) == ("none yet; TLS once it is there", "passed over: no such file yet")
    assert own.reach.startswith(f"only Allegra's connections to {HOST}, but the first store that a JVM opens counts for all")
    assert own.effect.tone is Tone.WARN
    assert "The file will be made." in own.effect.text
    assert (cacerts.modes, cacerts.treatment, cacerts.reach) == (
        *("TLS, TLS if available", "read", "every program that this Java runs"),
    )
    assert cacerts.effect.tone is Tone.OK


def test_once_it_is_there_cacerts_no_longer_counts(allegra: kit.Allegra) -> None:
    found = reaches(f"imaps://{HOST}", allegra, **{HOST: made({"leaf": LEAF.der})})
    assert [(store.modes, store.treatment, store.effect.tone) for store in found.values()] == [
        ("SSL", "read", Tone.OK),
        ("none", "not read for this server", Tone.WARN),
    ]
    assert f"it reads {allegra.keystore_folder / f'{HOST}.ks'}" in found["cacerts"].effect.text


def test_a_store_that_counts_in_another_mode_only_says_which(allegra: kit.Allegra) -> None:
    cacerts = reaches(f"imap://{HOST}", allegra, **{HOST: made({"leaf": LEAF.der})})["cacerts"]
    assert cacerts.modes == "TLS if available"
    assert f"in the mode TLS if available only; in the mode TLS it is {allegra.keystore_folder}" in cacerts.effect.text
    assert cacerts.effect.tone is Tone.WARN


def test_for_ldap_the_common_store_comes_first(allegra: kit.Allegra) -> None:
    found = reaches("ldaps://dc.example.com", allegra, trackplus=made({"root": ROOT.der}))
    assert list(found) == ["trackplus.ks", "dc.example.com.ks", "cacerts"]
    assert found["trackplus.ks"].reach.startswith("all LDAPS connections of Allegra")
    assert found["trackplus.ks"].effect.tone is Tone.OK
    assert (
        "Allegra's manual names this file for dc.example.com; its ancestor's source reads"
        in found["dc.example.com.ks"].effect.text
    )
    plain = reaches("ldap://dc.example.com", allegra)["trackplus.ks"]
    assert (plain.modes, plain.effect.tone) == ("none", Tone.WARN)
    assert "Allegra reads no store for ldap://dc.example.com:389" in plain.effect.text


@pytest.mark.parametrize(
    ("data", "treatment", "tone", "words"),
    [
        (made({}), "read as empty", Tone.OK, "finds nothing to trust in it yet"),
        (b"no keystore", "refused", Tone.BAD, "Java does not load this file"),
    ],
)
def test_what_is_wrong_with_a_store_is_said(data: bytes, treatment: str, tone: Tone, words: str, allegra: kit.Allegra) -> None:
    own = reaches(f"smtps://{HOST}", allegra, **{HOST: data})[f"{HOST}.ks"]
    assert (own.treatment, own.effect.tone) == (treatment, tone)
    assert words in own.effect.text


def test_a_store_that_cannot_be_seen_is_not_guessed_at(allegra: kit.Allegra) -> None:
    (allegra.keystore_folder / f"{HOST}.ks").mkdir()
    own = reaches(f"imaps://{HOST}", allegra)[f"{HOST}.ks"]
    assert own.effect.tone is Tone.WARN
    assert own.treatment in ("not known", "passed over")


def test_the_chosen_keystore_has_one_sentence(allegra: kit.Allegra) -> None:
    stores = tuple(reaches(f"smtp://{HOST}", allegra).values())
    assert effect_of(str(stores[1].path), stores) is stores[1].effect
    assert (effect_of("", stores).tone, effect_of("/srv/other.ks", stores).tone) == (Tone.BAD, Tone.WARN)
    table: Any = show_reaches(stores)
    assert [row[0] for row in table.rows] == [str(store.path) for store in stores]


def test_where_no_java_was_found_the_own_store_is_all_there_is(tmp_path: Path) -> None:
    (own,) = store_reaches(kit.Endpoint.parse(f"smtp://{HOST}"), kit.Allegra(tmp_path, "argument", tmp_path, (), ()))
    assert own.path == tmp_path / f"{HOST}.ks"
