"""Known troubles with certificates, names and the TLS handshake, in the words of Java 8 to 25 and of JavaMail."""

from __future__ import annotations

from allegra_tls_kit.trouble import AT_SERVER, FROM_THAT_HOST, IMPORT, OLD_FALLBACK, RESTART, SURVEY, Trouble

_STOPGAP = "As a stopgap the server's own certificate can be imported: Java looks at nothing else then, until it is renewed."

IN_TLS = (
    Trouble(
        "anchor_not_a_ca",
        ("TrustAnchor with subject … is not a CA certificate", "TrustAnchor with subject … does not have keyCertSign bit set"),
        "The truststore has a certificate of the issuer's name, but to Java that one is no CA and vouches for no other.",
        (
            "Was a self-signed certificate renewed? Without CA:TRUE it has to be imported at each renewal, same key or not.",
            "Otherwise import the CA that issued the server's certificate.",
        ),
        IMPORT,
    ),
    Trouble(
        "issuer_key_differs",
        ("Path does not chain with any of the trust anchors",),
        "The truststore has a CA of the issuer's name, but not the one whose key signed the server's certificate.",
        ("Compare the CA in the truststore with the one that the server uses now, by fingerprint, and import that one.", RESTART),
        IMPORT,
    ),
    Trouble(
        "expired",
        ("CertificateExpiredException", "CertificateNotYetValidException", "validity check failed"),
        "A certificate of the chain is outside its time: it has expired, or is not valid yet.",
        (
            "Look at the dates of every certificate that the server sends; an intermediate can be the expired one.",
            "Is the clock of Allegra's host right?",
            "The server needs a renewed certificate; ask whoever runs it.",
            _STOPGAP,
        ),
        SURVEY,
    ),
    Trouble(
        "revoked",
        ("CertificateRevokedException", "Certificate has been revoked"),
        "A certificate of the chain was revoked by its CA.",
        (AT_SERVER,),
        SURVEY,
    ),
    Trouble(
        "revocation_unknown",
        ("determine revocation status", "UNDETERMINED_REVOCATION_STATUS"),
        "This JVM was told to check revocation, which is off by default, and could not ask the CA.",
        (
            "Can Allegra's host reach the CRL and OCSP addresses in the certificates, through proxy and firewall?",
            "Look for com.sun.net.ssl.checkRevocation among the options of the JVM, and who wanted it.",
        ),
        SURVEY,
    ),
    Trouble(
        "not_a_ca",
        (
            "End user tried to act as a CA",
            "basic constraints check failed",
            "CA key usage check failed",
            "incorrect KeyUsage extension bits",
        ),
        "A certificate that issued another one of the chain may not do so: it is no CA, or one CA too many.",
        ("The server needs a chain from a proper CA; ask whoever runs it.", _STOPGAP),
        SURVEY,
    ),
    Trouble(
        "chain_rule",
        (
            "name constraints check failed",
            "unrecognized critical extension",
            "policy tree required",
            "critical policy qualifiers",
        ),
        "A certificate of the chain breaks a rule that a CA above it sets, or has an extension that Java does not know.",
        ("Have the certificate issued anew, by a CA that may issue for this name.", _STOPGAP),
        SURVEY,
    ),
    Trouble(
        "bad_signature",
        ("signature check failed", "Signature does not match"),
        "A signature in the chain does not verify: a CA of the same name has another key, or a certificate is damaged.",
        ("Compare the CA in the truststore with its reference fingerprint, and import the CA whose key signs now.", RESTART),
        IMPORT,
    ),
    Trouble(
        "weak",
        (
            "do not conform to algorithm constraints",
            "does not conform to algorithm constraints",
            "does not comply to algorithm constraints",
            "Algorithm constraints check failed",
        ),
        "A certificate of the chain (MD5, RSA below 1024 bits) or the server's key exchange is too weak for this JVM, or of a "
        "kind that it does not take (SHA-3, brainpool).",
        (
            "Have the certificate issued anew with SHA-256, and RSA of 2048 bits or more or a NIST curve.",
            "Java 17 and 25 still accept SHA-1 and RSA of 1024 bits under a private CA, unless java.security is stricter here.",
        ),
        SURVEY,
    ),
    Trouble(
        "extended_key_usage",
        ("Extended key usage does not permit",),
        "The server's certificate was issued for another purpose than a TLS server: its extended key usage lacks serverAuth.",
        ("Have it issued anew with serverAuth.", _STOPGAP),
        SURVEY,
    ),
    Trouble(
        "key_usage",
        ("KeyUsage does not allow", "Netscape cert type does not permit"),
        "The server's certificate was issued for another purpose than a TLS server: its key usage does not fit.",
        ("Have it issued anew with digitalSignature in its key usage.", _STOPGAP),
        SURVEY,
    ),
    Trouble(
        "malformed",
        (
            "Failed to parse server certificates",
            "Could not parse certificate",
            "Unable to initialize, java.io.IOException",
            "Unexpected error: java.io.IOException",
            "null or zero-length certificate chain",
        ),
        "The server sent no certificate, or one that Java cannot read; or the truststore has an unreadable one.",
        ("Read the keystore here: Java loads none of its certificates if it cannot read one of them.", AT_SERVER),
        SURVEY,
    ),
    Trouble(
        "chain_too_long",
        ("exceeds the maximum allowed length",),
        "The server sends more certificates than Java takes.",
        ("Have the server send its own chain only: its certificate and the intermediates.",),
        SURVEY,
    ),
    Trouble(
        "mismatched",
        (
            "No subject alternative … found",
            "No subject alternative names present",
            "No name matching … found",
            "Can't verify identity of server",
            "Server identity does not match",
            "Unable to check server identity",
            "Illegal given domain name",
            "Not a formal name",
        ),
        "The certificate is for other names than the one that Allegra connects by; an import does not cure that.",
        (
            "Enter one of the names in the certificate as server, or have it issued for the name in use.",
            "An IP address must be in the certificate as an address; a host name with an underscore is always refused.",
            "LDAPS is checked since Java 8u181, mail by newer mail libraries (Angus Mail): this can begin with an update.",
            "Last resort for LDAPS, and insecure: -Dcom.sun.jndi.ldap.object.disableEndpointIdentification=true.",
        ),
        SURVEY,
    ),
    Trouble(
        "client_too_old",
        ("No appropriate protocol",),
        "Allegra may only offer TLS versions that this JVM has switched off; the server was not even asked.",
        (
            "Old versions offer only SSLv3 and TLSv1 to IMAP and POP3 in the modes `TLS` and `TLS if available`: update Allegra.",
            "Until then use the mode `SSL` with port 993 or 995.",
        ),
        SURVEY,
    ),
    Trouble(
        "server_too_old",
        (
            "Received fatal alert: protocol_version",
            "is not accepted by client preferences",
            "that protocol version is not enabled",
        ),
        "Server and JVM have no TLS version in common; mostly the server knows only TLS 1.0 or 1.1.",
        ("Let the server offer TLS 1.2 or 1.3.", AT_SERVER),
        SURVEY,
    ),
    Trouble(
        "nothing_in_common",
        ("Received fatal alert: handshake_failure", "Received fatal alert: insufficient_security", "No negotiable cipher suite"),
        "Server and JVM agree on no cipher suite or curve, or the server misses a client certificate.",
        (
            "Does the server offer nothing but TLS_RSA key exchange? Java 25 and late updates of 17 refuse it: was Java updated?",
            "Is its key on a brainpool curve or P-224? Java refuses these.",
            "Does it ask for a client certificate? A probe shows that.",
        ),
        SURVEY,
    ),
    Trouble(
        "client_certificate",
        (
            "Received fatal alert: certificate_required",
            "Received fatal alert: bad_certificate",
            "Received fatal alert: certificate_unknown",
            "Received fatal alert: certificate_expired",
            "Received fatal alert: unknown_ca",
            "Received fatal alert: access_denied",
        ),
        "It is the other side that refuses: it wants a client certificate, or does not trust the one it was given.",
        ("Ask whoever runs the server whether it demands client certificates.", "An import into a truststore does not help."),
        SURVEY,
    ),
    Trouble(
        "unknown_server_name",
        ("fatal alert: unrecognized_name", "handshake alert: unrecognized_name"),
        "The server does not know the name that Allegra connects by.",
        ("Enter the name that the server is configured with, not an alias or an address.",),
        SURVEY,
    ),
    Trouble(
        "not_tls",
        ("Unsupported or unrecognized SSL message", "Unrecognized SSL message", "Unrecognized SSL handshake"),
        "Where TLS should begin, the server speaks plaintext: security mode and port do not fit.",
        (
            "The mode `SSL` belongs to the ports 465, 993, 995 and 636, the mode `TLS` to 587, 25, 143 and 110.",
            "Old versions take port 465 for sending in the mode `SSL`, whatever is entered.",
        ),
        SURVEY,
    ),
    Trouble(
        "no_greeting",
        ("response: -1",),
        "The server hung up instead of greeting: plaintext was spoken to a port that expects TLS, or it refuses this client.",
        ("Port 465 needs the mode `SSL`.", FROM_THAT_HOST),
        SURVEY,
    ),
    Trouble(
        "starttls_not_offered",
        ("STARTTLS is required but", "STARTTLS required but", "STLS required but"),
        "The mode `TLS` demands STARTTLS, and the server does not offer it on this port, or not to this client.",
        (
            "Use the mode `SSL` with the port for it, or have STARTTLS switched on at the server.",
            "`TLS if available` would send password and mail in the clear: not a cure.",
        ),
        SURVEY,
    ),
    Trouble(
        "starttls_inside_tls",
        ("TLS already active",),
        "Allegra asked for STARTTLS on a connection that was TLS already.",
        ("After a change from the mode `TLS` to `SSL` restart Allegra: the running JVM keeps settings of the old mode.",),
        SURVEY,
    ),
    Trouble(
        "closed_in_handshake",
        (
            "Remote host closed connection during handshake",
            "Remote host terminated the handshake",
            "SSL peer shut down incorrectly",
        ),
        "The server, or a firewall or proxy between, closed the connection in the middle of the handshake.",
        (FROM_THAT_HOST, OLD_FALLBACK),
        SURVEY,
    ),
    Trouble(
        "untrusted",
        (
            "unable to find valid certification path",
            "PKIX path building failed",
            "No trusted certificate found",
            "Server is not trusted:",
        ),
        "Java found no path from the server's certificate to a certificate in the truststore that it uses.",
        (
            "Is the issuing CA, or the self-signed certificate itself, in the truststore of this connection?",
            "For mail that is keystore/<host as typed>.ks in Allegra's home, for LDAPS keystore/trackplus.ks, else cacerts.",
            "In the mode `TLS if available` old versions take cacerts alone for IMAP and POP3.",
            "May Allegra's user read the file? A missing or unreadable one is passed over in silence, and cacerts is taken.",
            "Is it the cacerts of the Java that runs Allegra? A jssecacerts beside it counts instead; updates replace cacerts.",
            RESTART,
            "Does the server send its intermediate certificates, and was its certificate renewed?",
        ),
        IMPORT,
    ),
)
