"""Known troubles with keystore files: what Java says when it loads one, and keytool, in English and German."""

from __future__ import annotations

from allegra_tls_kit.trouble import IMPORT, RESTART, ROLL_BACK, Trouble

IN_FILES = (
    Trouble(
        "no_anchors",
        ("trustAnchors parameter must be non-empty",),
        "Java opened a truststore and sees no trusted certificate in it, so no TLS connection of this JVM works.",
        (
            "Is the file a PKCS12? keytool makes that since Java 9, and Allegra, without its password, sees nothing: use JKS.",
            "Was it made by openssl? Java passes over certificates there that lack its own mark of trust, password or not.",
            "Is it a keystore without entries?",
            RESTART,
        ),
        IMPORT,
    ),
    Trouble(
        "keystore_empty",
        ("Keystore file exists, but is empty", "ist vorhanden, ist aber leer"),
        "The keystore file has no bytes: mostly keytool was interrupted while it wrote.",
        ("Restore the backup, or remove the file: Java takes a missing one for its cacerts, an empty one for a fault.",),
        ROLL_BACK,
    ),
    Trouble(
        "newer_keystore",
        ("HmacPBESHA256 not available", "parseAlgParameters failed"),
        "The keystore is a PKCS12 that a newer Java wrote, and this Java cannot read it.",
        ("Make the file anew as JKS, which every Java reads.", "Was it written with another Java than the one Allegra runs on?"),
        IMPORT,
    ),
    Trouble(
        "no_keystore_format",
        (
            "Invalid keystore format",
            "Unrecognized keystore format",
            "DerInputStream.getLength()",
            "toDerInputStream rejects tag type",
            "Short read of DER length",
            "Tag number over 30 is not supported",
            "keytool error: java.io.EOFException",
            "Keytool-Fehler: java.io.EOFException",
        ),
        "A file that should be a keystore is none that this Java reads: damaged, cut off, empty, PEM or text, JCEKS, too new.",
        (
            "The message misleads: Java tries JKS, then PKCS12, and shows what PKCS12 had to complain of.",
            "Look at the first bytes: FE ED FE ED is JKS, 30 8x PKCS12, CE CE CE CE JCEKS, 2D 2D 2D PEM.",
            "Restore the backup of a damaged file; make a new one from a PEM or text by importing the certificates in it.",
        ),
        IMPORT,
    ),
    Trouble(
        "wrong_store_password",
        (
            "Keystore was tampered with, or password was incorrect",
            "keystore password was incorrect",
            "Failed PKCS12 integrity checking",
            "failed to decrypt safe contents",
        ),
        "The keystore does not open with this password.",
        (
            "The JVM's cacerts and files made by Allegra's manual mostly have `changeit`.",
            "A PKCS12 that was made for the empty password opens without one, and with no other.",
            "If it is Allegra that says so: is there an option -Djavax.net.ssl.trustStorePassword?",
        ),
        IMPORT,
    ),
    Trouble(
        "alias_exists",
        ("Certificate not imported, alias", "Zertifikat nicht importiert"),
        "The alias holds another certificate; keytool has imported nothing.",
        ("Without -alias the entry is `mykey`, and so the manual's command fails the second time: give each its own alias.",),
        IMPORT,
    ),
    Trouble(
        "already_imported",
        ("Certificate already exists in", "Zertifikat ist bereits unter Alias"),
        "This very certificate is in the keystore already, under another alias; after `no` keytool has imported nothing.",
        (
            "If Java still refuses the server, the certificate was not what is missing, or this is not the file that Java uses.",
            RESTART,
        ),
        IMPORT,
    ),
    Trouble(
        "alias_unknown",
        ("Alias < … > does not exist", "Alias < … > ist nicht vorhanden"),
        "The keystore has no entry of this alias; nothing was changed.",
        ("Read the keystore here to see its aliases: Java keeps them in lower case.",),
        IMPORT,
    ),
    Trouble(
        "password_too_short",
        ("Keystore password must be at least 6 characters", "Keystore-Kennwort muss mindestens"),
        "keytool makes no keystore with a password of fewer than six characters; nothing was written.",
        ("Take `changeit` unless there is a rule: Allegra opens the file without a password, so it protects nothing here.",),
        IMPORT,
    ),
    Trouble(
        "not_a_certificate",
        ("Input not an X.509 certificate", "Eingabe kein X.509-Zertifikat"),
        "The file that keytool was given is no single X.509 certificate; nothing was imported.",
        (
            "keytool refuses .p7b and private keys; of several certificates in one file it imports only the first, silently.",
            "Take the certificates from the server with a probe, or let this kit read the file: it takes bundles.",
        ),
        IMPORT,
    ),
    Trouble(
        "file_not_opened",
        (
            "keytool error: java.io.FileNotFoundException: … (",
            "Keytool-Fehler: java.io.FileNotFoundException: … (",
            "FileNotFoundException: … .ks (",
            "FileNotFoundException: … cacerts (",
            "Keystore file does not exist:",
            "Keystore-Datei ist nicht vorhanden:",
        ),
        "A file was not opened: it, or its folder, is not there, or this user may not.",
        (
            "keytool does not make folders: make `keystore` in Allegra's home first.",
            "`Permission denied` (`Keine Berechtigung`, `Zugriff verweigert`): work as the user that owns the file.",
            "keytool says `Certificate was added to keystore` before it writes: nothing was added.",
        ),
        IMPORT,
    ),
)
