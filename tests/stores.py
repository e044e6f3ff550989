"""Keystores that keytool made, once for all tests, and keytool's own word on any store."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from tests.chains import issue

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD, KEY_PASSWORD = "sesame-42", "sesame-43"
ROOT, TRUSTED, NEW = issue("Root CA", ca=True), issue("Trusted CA", ca=True), issue("New CA", ca=True)
LEAF = issue("mail.example.com", ROOT)
KEYS = {"k1": "PrivateKeyEntry", "k2": "PrivateKeyEntry", "s1": "SecretKeyEntry", "t1": "trustedCertEntry"}
HELD = {
    "aes.p12": KEYS,
    "legacy.p12": KEYS,
    "mac-only.p12": KEYS,
    "passwordless.p12": KEYS,
    "keys.jceks": KEYS,
    "keys.jks": {"k1": "PrivateKeyEntry", "t1": "trustedCertEntry"},
}
"""The stores and what is in them: k1 has LEAF and ROOT as its chain, k2 signs itself, t1 is TRUSTED."""

_LISTED = re.compile(r"^(.+), \w+ \d+, \d{4}, (\w+), ?$(?:\nCertificate fingerprint \(SHA-256\): (.+)$)?", re.MULTILINE)


@dataclass(frozen=True)
class Stores:
    """The folder with the stores, and the keytool that made them."""

    folder: Path
    program: Path

    def keytool(self, *arguments: str | Path) -> str:
        command = [self.program, "-J-Duser.language=en", "-J-Duser.country=US", *arguments]
        given = {"STOREPASS": PASSWORD, "KEYPASS": KEY_PASSWORD, "CHANGEIT": "changeit", "LC_ALL": "C.UTF-8"}
        result = subprocess.run(command, env={**os.environ, **given}, capture_output=True, encoding="utf-8", check=False)
        assert result.returncode == 0, (arguments, result.stdout, result.stderr)
        return result.stdout

    def listed(self, path: Path, password: str = "STOREPASS") -> dict[str, tuple[str, str | None]]:
        """Return what keytool finds in a store: alias → its word for the kind, and the fingerprint."""
        said = self.keytool("-list", "-keystore", path, "-storepass:env", password)
        found = _LISTED.findall(said)
        assert f"contains {len(found):,} entr" in said, said[:2000]
        return {alias: (kind, print_.replace(":", "").lower() or None) for alias, kind, print_ in found}


def make_stores(java: Path, folder: Path) -> Stores:
    """Ten starts of keytool."""
    stores = Stores(folder, java.resolve().with_name("keytool"))
    protection = BestAvailableEncryption(PASSWORD.encode())
    chain = [ROOT.certificate]
    source, certificate, full = folder / "source.p12", folder / "trusted.der", folder / "aes.p12"
    source.write_bytes(pkcs12.serialize_key_and_certificates(b"k1", LEAF.key, LEAF.certificate, chain, protection))
    certificate.write_bytes(TRUSTED.der)
    password = ("-storepass:env", "STOREPASS")

    def copied(origin: Path, name: str, *options: str) -> None:
        passwords = ("-srcstorepass:env", "STOREPASS", "-deststorepass:env", "STOREPASS")
        target = ("-srckeystore", origin, "-destkeystore", folder / name)
        java_options = [option for option in options if option.startswith("-J")]
        others = [option for option in options if not option.startswith("-J")]
        stores.keytool(*java_options, "-importkeystore", "-noprompt", *target, *passwords, *others)

    def trusting(name: str) -> None:
        stores.keytool("-importcert", "-noprompt", "-alias", "t1", "-file", certificate, "-keystore", folder / name, *password)

    copied(source, "aes.p12")
    stores.keytool("-genkeypair", "-alias", "k2", "-keyalg", "EC", "-dname", "CN=k2", "-keystore", full, *password)
    stores.keytool("-genseckey", "-alias", "s1", "-keyalg", "AES", "-keysize", "128", "-keystore", full, *password)
    trusting("aes.p12")
    plain = "-J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE"
    copied(full, "legacy.p12", "-J-Dkeystore.pkcs12.legacy")
    copied(full, "mac-only.p12", plain)
    copied(full, "passwordless.p12", plain, "-J-Dkeystore.pkcs12.macAlgorithm=NONE")
    copied(full, "keys.jceks", "-deststoretype", "JCEKS")
    copied(full, "keys.jks", "-deststoretype", "JKS", "-srcalias", "k1", "-destkeypass:env", "KEYPASS")
    trusting("keys.jks")
    return stores
