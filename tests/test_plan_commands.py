"""The same change as commands: keytool and a shell make of a store what the plan foresees; the system's own way."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from allegra_tls_kit import (
    Action,
    ActionKind,
    Plan,
    plan_import,
    plan_removal,
    plan_restore,
    plan_rollback,
    plan_superset,
    read_certificates,
    read_keystore,
    simulate,
    suggest_alias,
    system_commands,
)
from allegra_tls_kit.plan import differences
from tests.chains import issue
from tests.planning import HERE, applied, run_in_a_shell, snapshot_of
from tests.stores import HELD, LEAF, NEW, PASSWORD, ROOT, TRUSTED

if TYPE_CHECKING:
    from allegra_tls_kit import Snapshot
    from tests.stores import Stores

ENCRYPTED = {"aes.p12", "legacy.p12"}
ODD = ["it's new; $(id)", "`id` \\", '"é\n"']
ODD_PLACE = 'Allegra\'s "home" $HOME'


def read(path: Path) -> Snapshot:
    return read_keystore(path, lambda: PASSWORD)


def come_true(plan: Plan, stores: Stores) -> Snapshot:
    """Run the commands, which say of nothing that it is not the same, and return the store, which is as simulated."""
    assert PASSWORD not in str(plan.keytool_commands())
    assert not any(command.startswith("#") for command in plan.keytool_commands())
    run_in_a_shell(plan.keytool_commands(), stores)
    found = read(plan.keystore)
    assert differences(simulate(plan), found.entries) == ()
    return found


# --- keytool -----------------------------------------------------------------------------------------------------------------


def test_the_commands_make_a_store_change_it_and_take_it_away(stores: Stores, tmp_path: Path) -> None:
    store = tmp_path / ODD_PLACE / "key störe" / "mail.example.com.ks"
    plan = plan_import(read(store), [NEW.der, ROOT.der, LEAF.der], purpose="", aliases=ODD)
    made = come_true(plan, stores)
    assert made.store_type == "JKS"
    rest = come_true(plan_removal(made, [*ODD[:2], "not there"], purpose=""), stores)
    assert [entry.alias for entry in rest.entries] == [ODD[2]]
    created = rest.entries[0].created
    assert created
    back = plan_rollback(applied(plan, at=created), rest)
    assert back.removes_store
    assert simulate(back) == ()
    run_in_a_shell(back.keytool_commands(), stores)
    assert not store.exists()
    kept = store.with_name(f"{store.name}.{back.id}.removed")
    again = come_true(plan_restore(read(store), read(kept)), stores)
    assert (again.sha256, again.entries) == (rest.sha256, rest.entries)


@pytest.mark.parametrize("name", sorted(HELD.keys() - ENCRYPTED))
def test_the_commands_do_the_same_as_the_plan_to_a_store_of_every_kind(name: str, stores: Stores, tmp_path: Path) -> None:
    store = tmp_path / name
    shutil.copyfile(stores.folder / name, store)
    made = come_true(plan_import(read(store), [NEW.der, ROOT.der], purpose="", aliases=["new", "größe"]), stores)
    assert (made.store_type, made.integrity_checked) == (read(stores.folder / name).store_type, name != "passwordless.p12")
    come_true(plan_removal(made, ["größe", "t1"], purpose=""), stores)


@pytest.mark.parametrize("name", sorted(ENCRYPTED))
def test_where_keytool_cannot_do_the_same_the_commands_say_so(name: str, stores: Stores, tmp_path: Path) -> None:
    store = tmp_path / name
    shutil.copyfile(stores.folder / name, store)
    plan = plan_import(read(store), [NEW.der], purpose="", aliases=["new"])
    assert plan.keytool_commands()[0].startswith("# Not the same: keytool encrypts what it adds")
    run_in_a_shell(plan.keytool_commands(), stores)
    assert differences(simulate(plan), read(store).entries) == ("new changed",)
    come_true(plan_removal(read(store), ["new"], purpose=""), stores)


def test_the_commands_of_a_restore_check_the_backup_first(stores: Stores, tmp_path: Path) -> None:
    store, backup = tmp_path / "mail.ks", tmp_path / ODD_PLACE / "mail.ks.bak \\"
    backup.parent.mkdir()
    shutil.copyfile(stores.folder / "keys.jks", store)
    shutil.copyfile(stores.folder / "passwordless.p12", backup)
    plan = plan_restore(read(store), read(backup))
    come_true(plan, stores)
    assert store.read_bytes() == backup.read_bytes()
    assert store.stat().st_mtime > backup.stat().st_mtime  # or a JVM takes the file for the one that it has read
    shutil.copyfile(stores.folder / "keys.jks", store)
    backup.write_bytes(b"another file")
    for command in plan.keytool_commands():
        said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        assert (said.returncode != 0, "FAILED" in said.stdout) == (True, True)
    assert store.read_bytes() == (stores.folder / "keys.jks").read_bytes()


def test_the_commands_of_a_superset_do_the_same_and_bring_it_up_to_date(stores: Stores, tmp_path: Path) -> None:
    store = tmp_path / "keystore" / "mail.example.com.ks"
    old, new = (snapshot_of(cas, path=tmp_path / "cacerts") for cas in ({"a": ROOT.der, "b": TRUSTED.der}, {"b": TRUSTED.der}))
    made = come_true(plan_superset(read(store), old, [NEW.der], purpose=""), stores)
    assert set(made.anchors) == {ROOT.der, TRUSTED.der, NEW.der}
    assert set(come_true(plan_superset(made, new, purpose=""), stores).anchors) == {TRUSTED.der, NEW.der}


def test_a_plan_that_is_not_applied_has_no_commands() -> None:
    snapshot = snapshot_of({"a": ROOT.der})
    conflict = plan_import(snapshot, [NEW.der, LEAF.der], purpose="", aliases=["a", "b"])
    assert conflict.changes
    for plan in (conflict, plan_import(snapshot, [ROOT.der], purpose=""), plan_removal(snapshot, ["x"], purpose="")):
        assert (plan.keytool_commands(), system_commands(plan, DEBIAN)) == ((), ())


# --- the system's own way ----------------------------------------------------------------------------------------------------

DEBIAN, RHEL = Path("/etc/ssl/certs/java/cacerts"), Path("/etc/pki/ca-trust/extracted/java/cacerts")


@pytest.mark.parametrize(
    ("real_path", "folder", "tool"),
    [
        (DEBIAN, "/usr/local/share/ca-certificates", "update-ca-certificates"),
        (RHEL, "/etc/pki/ca-trust/source/anchors", "update-ca-trust"),
    ],
)
def test_a_store_of_the_system_is_changed_by_files_for_its_tool(
    real_path: Path, folder: str, tool: str, stores: Stores, tmp_path: Path
) -> None:
    plan = plan_import(snapshot_of({"a": ROOT.der}), [NEW.der, TRUSTED.der, ROOT.der], purpose="", aliases=ODD)
    *files, last = system_commands(plan, real_path)
    assert last == tool
    moved = [command.replace(folder, str(tmp_path)) for command in files]
    assert all(a != b for a, b in zip(moved, files, strict=True))
    run_in_a_shell(moved, stores)
    left = sorted(tmp_path.iterdir())
    assert [path.name for path in left] == sorted(f"{suggest_alias(der)}.crt" for der in (NEW.der, TRUSTED.der))
    assert {der for path in left for der in read_certificates(path)} == {NEW.der, TRUSTED.der}
    assert {path.stat().st_mode & 0o777 for path in left} == {0o644}

    removal = plan_removal(snapshot_of({"a": NEW.der, "b": ROOT.der}), ["a"], purpose="")
    *files, last = system_commands(removal, real_path)
    run_in_a_shell([files[-1].replace(folder, str(tmp_path))], stores)
    assert [der for path in tmp_path.iterdir() for der in read_certificates(path)] == [TRUSTED.der]
    assert (files[:-1], last) == {
        DEBIAN: ([f"keytool -delete -alias a -storetype JKS -keystore {HERE} -storepass:env STOREPASS"], f"{tool} --fresh"),
        RHEL: ([], tool),
    }[real_path]


def test_what_the_system_s_tool_passes_over_is_said() -> None:
    plan = plan_import(snapshot_of({}), [issue("mail.example.com").der], purpose="")
    assert system_commands(plan, RHEL)[0].startswith("# Not the same: update-ca-trust takes CAs only")
    assert not system_commands(plan, DEBIAN)[0].startswith("#")


def test_a_store_of_nobody_s_and_a_restore_have_no_way_of_the_system() -> None:
    plan = plan_import(snapshot_of({}), [NEW.der], purpose="")
    assert system_commands(plan, Path("/usr/lib/jvm/java-21/lib/security/cacerts")) == ()
    restore = plan_restore(snapshot_of({}), snapshot_of({"a": NEW.der}, path=Path("backup")))
    assert system_commands(restore, DEBIAN) == ()
    odd = replace(plan, actions=(Action(ActionKind.REMOVE, "x", None, ""),))
    assert system_commands(odd, RHEL) == ("update-ca-trust",)
