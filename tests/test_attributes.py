"""What a file is besides its bytes stays, and where it could not, the change is refused before anything is touched."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from allegra_tls_kit import Journal, attributes
from allegra_tls_kit.attributes import require_no_mount
from allegra_tls_kit.errors import NotWritable
from tests.changing import go, others, planned, states
from tests.children import mount, with_own_mounts
from tests.conftest import absent

if TYPE_CHECKING:
    from pathlib import Path

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
OWNER, USER, GROUP, MASK, OTHER, NOBODY_IN_PARTICULAR = 1, 2, 4, 16, 32, 0xFFFFFFFF


def access_list(*, bob: int) -> bytes:
    """A POSIX access list as the kernel has it: user 1234 may do this, the owner write, all others nothing."""
    entries = [
        (OWNER, 6, NOBODY_IN_PARTICULAR),
        (USER, bob, 1234),
        (GROUP, 0, NOBODY_IN_PARTICULAR),
        (MASK, 6, NOBODY_IN_PARTICULAR),
    ]
    parts = [struct.pack("<HHI", *entry) for entry in [*entries, (OTHER, 0, NOBODY_IN_PARTICULAR)]]
    return struct.pack("<I", 2) + b"".join(parts)


def give(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        absent(f"this file system has no {name}: {error}")


def test_an_access_list_stays_on_the_store_and_its_backup(store: Path, journal: Journal) -> None:
    give(store, ACCESS, access_list(bob=4))
    mode = store.stat().st_mode
    backup = go(planned(store), journal).backup
    assert backup is not None
    for path in (store, backup):
        assert (os.getxattr(path, ACCESS), path.stat().st_mode) == (access_list(bob=4), mode)


def test_what_the_folder_would_hand_down_to_new_files_is_not_given_to_an_old_one(store: Path, journal: Journal) -> None:
    store.chmod(0o640)
    give(store.parent, DEFAULT, access_list(bob=6))
    backup = go(planned(store), journal).backup
    assert backup is not None
    for path in (store, backup):
        assert (os.listxattr(path), path.stat().st_mode & 0o777) == ([], 0o640)


def test_nobody_may_read_a_prepared_file_who_may_not_in_the_end(
    store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.chmod(0o640)
    give(store.parent, DEFAULT, access_list(bob=6))
    seen: list[int] = []
    for name in ("chown", "chmod", "fsync", "utime", "replace", "removexattr"):

        def looked(path: Path | int, *arguments: object, real: object = getattr(os, name), **options: object) -> object:
            seen.extend(item.stat().st_mode & 0o777 for item in store.parent.iterdir() if item.suffix == ".tmp")
            return real(path, *arguments, **options)  # type: ignore[operator]

        monkeypatch.setattr(os, name, looked)
    go(planned(store), journal)
    assert set(seen) == {0o600, 0o640}


def test_an_attribute_that_cannot_be_kept_is_a_refusal(store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    give(store, "user.note", b"kept")
    plan, before = planned(store), store.read_bytes()

    def forbidden(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setxattr", forbidden)
    with pytest.raises(NotWritable, match=r"its attribute user\.note cannot be kept in .*: Operation not permitted"):
        go(plan, journal)
    assert (store.read_bytes(), others(store), states(journal)) == (before, [], ["confirmed", "abandoned"])


def test_a_label_that_the_new_file_has_already_is_not_set_again(
    store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of SELinux, which seldom lets anybody set one."""
    monkeypatch.setattr(os, "listxattr", lambda _: ["security.selinux", "security.ima"])
    monkeypatch.setattr(os, "getxattr", lambda *_: b"system_u:object_r:cert_t:s0")
    monkeypatch.setattr(os, "setxattr", lambda *_: pytest.fail("it was set"))
    assert go(planned(store), journal).changed


def test_what_is_said_about_the_bytes_of_a_file_is_not_said_of_another(
    store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "listxattr", lambda path: ["security.ima", "security.evm"] if path == store else [])
    monkeypatch.setattr(os, "setxattr", lambda *_: pytest.fail("it was set"))
    assert go(planned(store), journal).changed


@pytest.mark.parametrize(("name", "kept"), [("user.note", True), (ACCESS, False)])
def test_a_backup_where_there_are_no_attributes_goes_without_a_note_and_not_without_an_access_list(
    name: str, store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    give(store, name, b"kept" if kept else access_list(bob=4))
    set_attribute, elsewhere = os.setxattr, store.parent.parent / "elsewhere"
    elsewhere.mkdir()

    def only_here(at: int, *arguments: object) -> None:
        if os.stat(at).st_ino in {item.stat().st_ino for item in elsewhere.iterdir()}:
            raise OSError(95, "Operation not supported")
        set_attribute(at, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "setxattr", only_here)
    if kept:
        assert go(planned(store), journal, backup_folder=elsewhere).changed
    else:
        with pytest.raises(NotWritable, match=r"its attribute system\.posix_acl_access cannot be kept in .*elsewhere"):
            go(planned(store), journal, backup_folder=elsewhere)
    assert os.getxattr(store, name) == (b"kept" if kept else access_list(bob=4))


@pytest.mark.parametrize("ahead", [-3600.0, 0.0, 3600.0])
def test_a_replaced_store_is_younger_by_a_second_at_least(ahead: float, store: Path, journal: Journal) -> None:
    former = time.time() + ahead
    os.utime(store, (former, former))
    go(planned(store), journal)
    assert store.stat().st_mtime >= former + 1
    assert int(store.stat().st_mtime) > int(former)
    assert ahead >= 0 or store.stat().st_mtime < time.time() + 1


# --- a file that is mounted by itself --------------------------------------------------------------------------------------


def test_what_is_mounted_is_told_by_the_whole_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    path = tmp_path / "a b" / "c\\d\ncacerts"
    shown = str(path).replace("\\", "\\134").replace(" ", "\\040").replace("\n", "\\012")
    monkeypatch.setattr(attributes, "MOUNTS", table)
    for other in (f"{shown}2", f"{shown}/x", "/"):
        table.write_text(f"22 27 254:0 {shown} {other} rw - ext4 {shown} rw\n")
        require_no_mount(path)
    table.write_text(f"22 27 254:0 / / rw - ext4 a rw\n23 22 254:0 /x {shown} rw - ext4 a rw\n")
    with pytest.raises(NotWritable, match="mounted by itself"):
        require_no_mount(path)
    table.unlink()
    require_no_mount(path)


def in_a_container(store: Path, journal: Path) -> str:
    """Try to change a store that is mounted by itself, in a folder that is not writable otherwise, as in many a container."""
    mount("--bind", store, store)
    mount("--bind", store.parent, store.parent)
    mount("--bind", store, store)
    mount("-o", "remount,bind,ro", store.parent)
    plan, before = planned(store), store.read_bytes()
    with pytest.raises(NotWritable) as caught:
        go(plan, Journal(journal))
    assert store.read_bytes() == before
    assert others(store) == []
    assert not store.with_name(f".{store.name}.lock").exists()
    return str(caught.value)


def read_only(store: Path, journal: Path) -> str:
    mount("--bind", store.parent, store.parent)
    mount("-o", "remount,bind,ro", store.parent)
    with pytest.raises(NotWritable) as caught:
        go(planned(store), Journal(journal))
    return str(caught.value)


def elsewhere_or_absent(said: str) -> str:
    if said.startswith(("PermissionError", "FileNotFoundError", "CalledProcessError")):
        absent(f"mounts of one's own need root or user namespaces: {said}")
    return said


def test_a_file_that_is_mounted_by_itself_is_refused_before_anything(store: Path, tmp_path: Path) -> None:
    said = elsewhere_or_absent(with_own_mounts(partial(in_a_container, store, tmp_path / "journal.jsonl")))
    assert said.startswith(f"{store}: this file is mounted by itself (into a container, perhaps)")
    assert said.endswith("start the container anew, or mount its folder instead")


def test_a_store_on_a_disk_that_cannot_be_written_is_refused(store: Path, tmp_path: Path) -> None:
    said = elsewhere_or_absent(with_own_mounts(partial(read_only, store, tmp_path / "journal.jsonl")))
    assert said == f"{store}: this user may not write its folder, or the lock file in it: Read-only file system"


def test_an_immutable_store_is_refused(store: Path, journal: Journal) -> None:
    plan, before = planned(store), store.read_bytes()
    if subprocess.run(["chattr", "+i", store], capture_output=True, check=False).returncode:
        absent("no chattr on this file system for this user")
    try:
        with pytest.raises(NotWritable, match=r"may not write it \(its mode, or chattr \+i\)"):
            go(plan, journal)
    finally:
        subprocess.run(["chattr", "-i", store], check=True)
    assert (store.read_bytes(), others(store)) == (before, [])


def test_a_new_folder_is_open_for_the_user_of_the_service_on_every_level(tmp_path: Path, journal: Journal) -> None:
    umask = os.umask(0o077)
    try:
        go(planned(tmp_path / "a" / "b" / "some.ks"), journal)
    finally:
        os.umask(umask)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b", "a/b/some.ks")] == [0o755, 0o755, 0o644]
