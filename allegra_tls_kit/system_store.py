"""Truststores that a tool of the operating system writes, and the way in that lasts: a file for that tool.

What keytool puts into such a store is gone with the tool's next run; on Debian it stays until the store is made afresh.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from allegra_tls_kit.certificate import certificate_facts
from allegra_tls_kit.plan import Action, ActionKind, Plan, pem, suggest_alias

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SystemStore:
    """What writes the truststores below a folder, the folder that it takes lasting additions from, and how it is run.

    `keeps` tells that the tool leaves in Java's store what it did not put there itself, `cas_only` that it passes over
    certificates of servers (`trust extract --filter=ca-anchors`).
    """

    below: str
    words: str
    additions: str
    update: str
    keeps: bool
    cas_only: bool


_SYSTEM_STORES = (
    SystemStore(
        "/etc/ssl/certs/java/",
        "update-ca-certificates writes this file (Debian, Ubuntu); the lasting way in is a .crt file in "
        "/usr/local/share/ca-certificates, then update-ca-certificates",
        "/usr/local/share/ca-certificates",
        "update-ca-certificates",
        keeps=True,
        cas_only=False,
    ),
    SystemStore(
        "/etc/pki/",
        "update-ca-trust rewrites this file (RHEL, Fedora) and drops what was added by hand; the lasting way in is a file in "
        "/etc/pki/ca-trust/source/anchors, then update-ca-trust",
        "/etc/pki/ca-trust/source/anchors",
        "update-ca-trust",
        keeps=False,
        cas_only=True,
    ),
)


def system_store(real_path: Path) -> SystemStore | None:
    """Tell what in the operating system writes a truststore at this place, links resolved; None where nothing is known to."""
    return next((store for store in _SYSTEM_STORES if real_path.as_posix().startswith(store.below)), None)


def system_commands(plan: Plan, real_path: Path) -> tuple[str, ...]:
    """Return the same change in the system's own way, as commands for a POSIX shell, to be run as root in this order.

    `real_path` is where the keystore lies, links resolved (`TrustFile.real_path`). Empty where no tool is known to write that
    file, and for a plan that changes nothing, cannot be applied, or restores a backup. They reach every program that trusts what
    the system trusts, not Java alone. The alias in Java's store is the tool's own.
    """
    store = system_store(real_path)
    if store is None or plan.conflicts or plan.backup is not None or not plan.changes:
        return ()
    removes = any(action.kind is ActionKind.REMOVE for action in plan.actions)
    files = [command for action in plan.actions for command in _on_files(action, store)]
    # keytool, too: Debian's tool tells Java's store of new files only.
    by_hand = [command for command in plan.keytool_commands() if "keytool -delete " in command] if store.keeps else []
    fresh = " --fresh" if removes and store.keeps else ""
    return (*by_hand, *files, f"{store.update}{fresh}")


def _on_files(action: Action, store: SystemStore) -> Iterator[str]:
    if action.certificate is None:
        return
    file = f"{store.additions}/{suggest_alias(action.certificate)}.crt"
    if action.kind is ActionKind.ADD:
        if store.cas_only and not certificate_facts(action.certificate).is_ca:
            yield f"# Not the same: {store.update} takes CAs only, and the next one is none; Java does not get it this way."
        yield f"install -m 644 /dev/stdin {file} <<'PEM'\n{pem(action.certificate)}PEM"
    elif action.kind is ActionKind.REMOVE:
        yield f"rm -f {file}"
