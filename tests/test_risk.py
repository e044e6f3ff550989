"""What the reader of a plan sees: each certificate, what it reaches, the risk in words, the commands, and what to write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import allegra_tls_kit as kit
from allegra_tls_kit.risk import meaning, risks
from allegra_tls_kit.several import Plans, StorePlan
from allegra_tls_kit.superset import runtime_alias
from tests.chains import issue
from tests.planning import HERE, NOTHING, snapshot_of
from tests.shown import HOSTILE, HOSTILE_LEAF, UNREADABLE, flat, text_of, text_of_page
from tests.stores import LEAF, NEW, PASSWORD, ROOT, TRUSTED
from tests.test_reach import allegra as allegra  # noqa: PLC0414 - the fixture

if TYPE_CHECKING:
    from allegra_tls_kit.static import Static
    from tests.stores import Stores

CACERTS = Path("/usr/lib/jvm/java-21/lib/security/cacerts")
BACKUP = HERE.with_name(f"{HERE.name}.bak")
INTERMEDIATE = issue("Intermediate", ROOT, ca=True)
OLD_ROOT = issue("Root of 1999", version=1)
FIRST_WINS = "the first store that a JVM opens counts for all its connections, until it ends"


def said(shown: Static) -> str:
    return flat(str(shown))


# --- in words ----------------------------------------------------------------------------------------------------------------


def test_what_is_trusted_is_said_by_what_java_makes_of_the_certificate() -> None:
    plan = kit.plan_import(snapshot_of({}), [c.der for c in (ROOT, INTERMEDIATE, LEAF, OLD_ROOT)], purpose="")
    root, intermediate, leaf, old = map(meaning, plan.actions)
    assert root == "Java trusts whatever Root CA issues, for whatever server, renewed certificates too"
    assert (
        intermediate
        == "Java trusts whatever Intermediate issues, for whatever server; that ends when the server has another issuer"
    )
    end = f"{LEAF.certificate.not_valid_after_utc:%Y-%m-%d}"
    assert leaf == f"Java trusts this one certificate; at its renewal, by {end}, that ends, and the next one has to be imported"
    assert old.startswith("Java trusts whatever Root of 1999 issues")


def test_each_kind_of_action_says_what_it_brings_about() -> None:
    said = {
        kind: meaning(kit.Action(kind, "a", None if kind is kit.ActionKind.DELETE_STORE else UNREADABLE, ""))
        for kind in kit.ActionKind
    }
    assert said[kit.ActionKind.ADD] == "this is no certificate; Java may load nothing of a store with it"
    assert said[kit.ActionKind.REMOVE] == "servers that are trusted by it alone are refused then"
    assert said[kit.ActionKind.CONFLICT] == "the plan cannot be applied"
    assert said[kit.ActionKind.DELETE_STORE].startswith("Java reads the cacerts of its runtime then")
    assert {kind.value for kind, words in said.items() if not words} == {"keep", "not_found", "restore", "left_out"}
    assert meaning(kit.Action(kit.ActionKind.RESTORE, "", None, "")).startswith("what was changed since the backup is undone")


def snapshots() -> dict[str, tuple[kit.Plan, list[str], list[str]]]:
    """Plans with the words that have to be there, and the words that must not."""
    held = snapshot_of({"a": ROOT.der})
    there = snapshot_of({"a": ROOT.der}, path=CACERTS)
    made, runtime, copies = (
        "the file is made and replaces the runtime's CAs",
        "cacerts is the store of a Java runtime",
        "copies age",
    )
    empty = "nothing that is trusted is left in it"
    return {
        "into a store": (kit.plan_import(held, [NEW.der], purpose=""), [FIRST_WINS], [made, runtime, copies, empty]),
        "a new store": (
            kit.plan_import(NOTHING, [NEW.der], purpose=""),
            [f"{made} for what reads it", "1 entry"],
            [runtime, empty],
        ),
        "cacerts": (kit.plan_import(there, [NEW.der], purpose=""), [runtime, "plan_carry_over"], [made, FIRST_WINS]),
        "a superset": (kit.plan_superset(held, there, purpose=""), [], [copies]),
        "a superset that adds": (
            kit.plan_superset(snapshot_of({"x": NEW.der}), there, purpose=""),
            ["1 CA of the runtime come in, and with them every server", copies],
            [empty],
        ),
        "the last one goes": (kit.plan_removal(held, ["a"], purpose=""), [empty], [made]),
        "a restore": (kit.plan_restore(held, snapshot_of({}, path=BACKUP)), [empty, "next start of Allegra"], ["the type"]),
    }


@pytest.mark.parametrize(("plan", "there", "absent"), snapshots().values(), ids=snapshots())
def test_what_a_plan_means_for_its_file_is_said(plan: kit.Plan, there: list[str], absent: list[str]) -> None:
    text = "\n".join(risks(plan))
    assert [words for words in there if words not in text] == []
    assert [words for words in absent if words in text] == []


def test_a_plan_that_changes_nothing_has_no_risk() -> None:
    assert risks(kit.plan_import(snapshot_of({"a": ROOT.der}), [ROOT.der], purpose="")) == ()


def test_keys_that_go_and_a_type_that_changes_are_said(stores: Stores) -> None:
    keys, jceks = (kit.read_keystore(stores.folder / name, lambda: PASSWORD) for name in ("mac-only.p12", "keys.jceks"))
    text = "\n".join(risks(kit.plan_restore(keys, snapshot_of({"t1": TRUSTED.der}, path=BACKUP))))
    assert "the type of the file changes from PKCS12 to JKS" in text
    assert "keys go with it: k1, k2, s1" in text
    assert "Java does not read JCEKS" in "\n".join(risks(kit.plan_import(jceks, [NEW.der], purpose="")))


def test_a_store_that_is_removed_is_followed_by_the_runtime_s() -> None:
    delete = kit.Action(kit.ActionKind.DELETE_STORE, "", None, "")
    text = "\n".join(risks(kit.Plan(snapshot_of({"a": ROOT.der}), "", (delete,))))
    assert text == "in effect after the next start of Allegra: a running JVM keeps the store that it has read"


# --- who reads a file --------------------------------------------------------------------------------------------------------


def test_the_reach_of_a_store_names_connections_and_runtimes(allegra: kit.Allegra) -> None:
    imap, smtps = (kit.Endpoint.parse(f"{scheme}://mail.example.com") for scheme in ("imap", "smtps"))
    own = kit.reach_of(allegra.keystore_for("mail.example.com"), allegra, [imap, imap])
    assert own.sentences == (
        "Allegra's connections to mail.example.com read it, the host as it stands in its settings",
        "imap://mail.example.com:143 reads it in no mode, as things are now",
    )
    assert allegra.cacerts
    link = allegra.home / "cacerts"
    link.symlink_to(allegra.cacerts.path)
    reach = kit.reach_of(link, allegra, [imap, smtps])
    assert (reach.path, reach.real_path) == (link, allegra.cacerts.real_path)
    assert reach.sentences == (
        f"it is a link; the file that is written is {allegra.cacerts.real_path}",
        "imap://mail.example.com:143 reads it in the mode TLS and TLS if available",
        "smtps://mail.example.com:465 reads it in the mode SSL",
        f"Java 21.0.8 in {allegra.jvms[0].home} reads it where no store is named: every program that it runs",
    )
    ldaps = kit.reach_of(allegra.keystore_folder / "trackplus.ks", allegra)
    assert ldaps.sentences == ("all LDAPS connections of Allegra read it",)


def test_a_store_of_the_system_says_whose_it_is(allegra: kit.Allegra) -> None:
    assert "update-ca-certificates writes this file" in kit.reach_of(Path("/etc/ssl/certs/java/none"), allegra).sentences[0]


# --- pictures ----------------------------------------------------------------------------------------------------------------


def test_a_plan_is_shown_with_all_that_its_reader_has_to_know() -> None:
    plan = kit.plan_import(snapshot_of({"a": ROOT.der}, path=CACERTS), [NEW.der], purpose="mail")
    reach = kit.Reach(CACERTS, Path("/etc/ssl/certs/java/cacerts"), ("Java 21 reads it",))
    text = said(kit.show_plan(plan, reach))
    for words in (
        *(
            "What will change: 1 add",
            kit.suggest_alias(NEW.der),
            "CN=New CA",
            kit.keytool_notation(kit.certificate_facts(NEW.der).sha256),
        ),
        *("not in the store; Java trusts whatever New CA issues", "Java 21 reads it", "every program that it runs"),
        *("The system's own way, which lasts", "/usr/local/share/ca-certificates/", "update-ca-certificates"),
        *(
            "The same as keytool commands",
            "keytool -importcert",
            f'compare the SHA-256 with the reference and write confirm="{plan.id}"',
        ),
    ):
        assert words in text
    assert "The system's own way" not in said(kit.show_plan(plan))
    assert said(kit.show(plan)) == said(kit.show_plan(plan))


def test_a_restore_is_shown_with_its_backup_and_asks_for_no_fingerprint() -> None:
    then = snapshot_of({"a": ROOT.der}, path=BACKUP)
    plan = kit.plan_restore(NOTHING, then)
    text = said(kit.show(plan))
    for words in (
        f"Backup: {BACKUP}, SHA-256 {then.sha256}",
        "1 restore · 1 add",
        "sha256sum -c",
        f'To apply it, write confirm="{plan.id}"',
    ):
        assert words in text


def test_a_plan_that_cannot_be_applied_says_so_instead_of_what_to_write() -> None:
    text = said(kit.show(kit.plan_import(snapshot_of({"a": ROOT.der}), [NEW.der, LEAF.der], purpose="", aliases=["a", "b"])))
    assert "✖ It cannot be applied: a: this alias holds the certificate" in text
    assert "confirm=" not in text
    assert "keytool" not in text


def test_of_a_long_plan_what_is_routine_is_folded() -> None:
    cas = {f"ca{n}": issue(f"CA {n}", ca=True, key=ROOT.key).der for n in range(20)}
    plan = kit.plan_superset(
        snapshot_of({"old": TRUSTED.der}), snapshot_of(cas, path=CACERTS), [NEW.der, TRUSTED.der], purpose=""
    )
    text = said(kit.show(plan))
    assert "What will change: 21 add · 1 keep" in text
    assert "21 more actions: CAs of the runtime, and what stays" in text
    assert text.index(kit.suggest_alias(NEW.der)) < text.index("21 more actions") < text.index(runtime_alias(cas["ca0"]))
    assert "compare the SHA-256 with the reference" in text
    alone = said(kit.show(kit.plan_superset(snapshot_of({}), snapshot_of(cas | {"x": ROOT.der}, path=CACERTS), purpose="")))
    assert "What will change: 21 add 21 more actions" in " ".join(alone.split())
    assert "compare the SHA-256" not in alone


def test_several_plans_are_shown_together_each_with_its_id() -> None:
    endpoint = kit.Endpoint.parse("imap://mail.example.com")
    first, second = (kit.plan_import(replace(NOTHING, path=path), [NEW.der], purpose="mail") for path in (HERE, CACERTS))
    plans = Plans(endpoint, (StorePlan(first, ("TLS",), "it is made"), StorePlan(second, (), "asked for")))
    text = said(kit.show_plans(plans, [kit.Reach(CACERTS, CACERTS, ("Java 21 reads it",))]))
    for words in ("imap://mail.example.com:143: 2 stores", "it is made", "asked for", "none", "1 add", "Java 21 reads it"):
        assert words in text
    assert text.count(f'confirm="{first.id}"') == text.count(f'confirm="{second.id}"') == 1
    assert "Java 21 reads it" not in said(kit.show(plans))


def test_a_comparison_shows_what_differs_and_folds_what_both_hold() -> None:
    one = snapshot_of({"a": ROOT.der, "b": LEAF.der, "c": UNREADABLE})
    other = snapshot_of({"a": ROOT.der, "d": LEAF.der}, path=CACERTS)
    text = said(kit.show(kit.compare_stores(one, other)))
    for words in (
        f"One: {HERE} (JKS, 3 entries)",
        f"The other: {CACERTS} (JKS, 2 entries)",
        "1 only in one · 1 in both, other alias",
    ):
        assert words in text
    assert (
        text.index("● only in one c")
        < text.index("✔ in both, other alias b alias in the other: d")
        < text.index("1 entry in both")
    )
    assert "does not exist" in said(kit.show(kit.compare_stores(NOTHING, NOTHING)))
    assert "both are empty" in said(kit.show(kit.compare_stores(NOTHING, NOTHING)))


def test_the_words_of_strangers_are_shown_and_do_nothing() -> None:
    odd = snapshot_of({HOSTILE: HOSTILE_LEAF.der, "b": ROOT.der}, path=Path(f"/srv/{HOSTILE}"))
    other = replace(snapshot_of({"c": HOSTILE_LEAF.der}), path=Path(f"/srv/{HOSTILE}.bak"))
    plan = kit.plan_import(odd, [NEW.der], purpose=HOSTILE)
    endpoint = kit.Endpoint.parse("imap://mail.example.com")
    for shown in (
        kit.show(kit.plan_restore(odd, other)),
        kit.show(kit.plan_restore(other, odd)),
        kit.show(kit.plan_superset(replace(odd, path=HERE), odd, [HOSTILE_LEAF.der], purpose=HOSTILE)),
        kit.show(kit.plan_carry_over(odd, other, purpose=HOSTILE)),
        kit.show(kit.compare_stores(odd, other)),
        kit.show(Plans(endpoint, (StorePlan(plan, (), "why"),))),
    ):
        text = text_of(shown.html())
        assert "script>" in text
        for form in (text, str(shown), shown.markdown(), text_of_page(shown.page("page"))[1]):
            assert "\u202e" not in form
            assert "\x1b" not in form
