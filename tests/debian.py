"""Servers that nobody here wrote: Postfix, Dovecot and slapd as Debian packages them.

Each runs on 127.0.0.1 and free ports, with its own configuration, spool and data below a folder of the caller's, and is ended by
its process id. Nothing is written to /etc, and the system's own instances are left alone. They have to be started as root.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING

from allegra_tls_kit.endpoint import SCHEMES, Endpoint
from tests.conftest import absent

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = "postfix dovecot-core dovecot-imapd dovecot-pop3d slapd"
PASSWORD = "secret"
"""Dovecot lets in everybody who knows it; slapd wants it of ADMIN."""
ADMIN = "cn=admin,dc=demo,dc=test"
PATIENCE = 10.0
"""Seconds for a start or an end; an idle machine needs less than one for either."""

# Folders of tests are closed to all but root. So Postfix gets a path relative to the spool, where all of it runs, and Dovecot
# changes its root to the mailboxes before it gives up being root.
_POSTFIX_MAIN = Template("""\
compatibility_level = 3.6
queue_directory = $home/spool
data_directory = data
maillog_file = $home/log
maillog_file_prefixes = $home
myhostname = mail.demo.test
mydestination =
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
default_transport = discard:
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_chain_files = $home/key.pem, $home/chain.pem
smtpd_tls_security_level = may
""")
_POSTFIX_MASTER = Template("""\
127.0.0.1:$smtp inet n - n - - smtpd
127.0.0.1:$smtps inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
rewrite unix - - n - - trivial-rewrite
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
error unix - - n - - error
discard unix - - n - - discard
postlog unix-dgram n - n - 1 postlogd
""")
_DOVECOT = Template("""\
protocols = imap pop3
listen = 127.0.0.1
base_dir = $run
state_dir = $home/state
log_path = $home/log
ssl = yes
ssl_cert = <$home/chain.pem
ssl_key = <$home/key.pem
first_valid_uid = 1
mail_chroot = $home/mail
valid_chroot_dirs = $home/mail
mail_location = maildir:/%u
passdb {
  driver = static
  args = password=$password
}
userdb {
  driver = static
  args = uid=dovecot gid=dovecot home=/
}
service imap-login {
  inet_listener imap {
    port = $imap
  }
  inet_listener imaps {
    port = $imaps
    ssl = yes
  }
}
service pop3-login {
  inet_listener pop3 {
    port = $pop3
  }
  inet_listener pop3s {
    port = $pop3s
    ssl = yes
  }
}
""")
_SLAPD = Template("""\
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile $home/slapd.pid
argsfile $home/slapd.args
TLSCertificateFile $home/chain.pem
TLSCertificateKeyFile $home/key.pem
database mdb
maxsize 1048576
suffix dc=demo,dc=test
directory $home/data
rootdn $admin
rootpw $password
""")


@contextmanager
def postfix(chain_pem: bytes, key_pem: bytes, folder: Path) -> Iterator[dict[str, Endpoint]]:
    """Give `smtp` and `smtps`; mail to anybody is accepted and thrown away."""
    master = _program("/usr/lib/postfix/sbin/master")
    home, endpoints = _home(chain_pem, key_pem, folder, "postfix"), _endpoints("smtp", "smtps")
    (home / "main.cf").write_text(_POSTFIX_MAIN.substitute(home=home))
    os.utime(home / "main.cf", (0, 0))  # Postfix reads it again and again while it is younger than two seconds
    (home / "master.cf").write_text(_POSTFIX_MASTER.substitute({name: e.port for name, e in endpoints.items()}))
    spool = home / "spool"
    queues = ("incoming", "active", "deferred", "defer", "bounce", "corrupt", "hold", "flush", "saved", "trace")
    for name in ("pid", *queues, "private", "data", "public", "maildrop"):
        (spool / name).mkdir(parents=True)
        if name != "pid":
            shutil.chown(spool / name, "postfix")
    # The master itself: `postfix start-fg` stays above it as a shell, and first repairs what it thinks is the system's instance.
    with _running([master, "-c", f"{home}", "-s"], home, endpoints, cwd=spool):
        yield endpoints


@contextmanager
def dovecot(chain_pem: bytes, key_pem: bytes, folder: Path) -> Iterator[dict[str, Endpoint]]:
    """Give `imap`, `imaps`, `pop3`, `pop3s`, with an empty mailbox for everybody who knows PASSWORD."""
    program = _program("/usr/sbin/dovecot", "/usr/lib/dovecot/imap", "/usr/lib/dovecot/pop3")
    home, endpoints = _home(chain_pem, key_pem, folder, "dovecot"), _endpoints("imap", "imaps", "pop3", "pop3s")
    (home / "mail").mkdir()
    shutil.chown(home / "mail", "dovecot")
    ports = {name: endpoint.port for name, endpoint in endpoints.items()}
    with TemporaryDirectory(prefix="dovecot-") as run:  # the path of a Unix socket has 107 bytes, a test's folder nearly as many
        (home / "dovecot.conf").write_text(_DOVECOT.substitute(ports, home=home, run=run, password=PASSWORD))
        with _running([program, "-F", "-c", f"{home}/dovecot.conf"], home, endpoints):
            yield endpoints


@contextmanager
def slapd(chain_pem: bytes, key_pem: bytes, folder: Path) -> Iterator[dict[str, Endpoint]]:
    """Give `ldap` and `ldaps`: a directory with nothing in it below dc=demo,dc=test; ADMIN may bind with PASSWORD."""
    program = _program("/usr/sbin/slapd")
    home, endpoints = _home(chain_pem, key_pem, folder, "slapd"), _endpoints("ldap", "ldaps")
    (home / "data").mkdir()
    (home / "slapd.conf").write_text(_SLAPD.substitute(home=home, admin=ADMIN, password=PASSWORD))
    urls = " ".join(f"{name}://127.0.0.1:{endpoint.port}" for name, endpoint in endpoints.items())
    with _running([program, "-f", f"{home}/slapd.conf", "-h", urls, "-d", "none"], home, endpoints):
        yield endpoints


def _program(*needed: str) -> str:
    missing = [path for path in needed if not Path(path).exists()]
    if missing:
        absent(f"{' '.join(missing)} is not there; as root: apt-get install --no-install-recommends {PACKAGES}")
    if os.geteuid() != 0:
        absent(f"{needed[0]} can only be started as root")
    return needed[0]


def _home(chain_pem: bytes, key_pem: bytes, folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    home = Path(mkdtemp(prefix=f"{name}-", dir=folder))
    (home / "chain.pem").write_bytes(chain_pem)
    (home / "key.pem").touch(0o600)
    (home / "key.pem").write_bytes(key_pem)
    return home


def _endpoints(*schemes: str) -> dict[str, Endpoint]:
    with ExitStack() as held:  # all at once, so that no port is given out twice
        sockets = [held.enter_context(socket.socket()) for _ in schemes]
        for candidate in sockets:
            candidate.bind(("127.0.0.1", 0))
        ports = [candidate.getsockname()[1] for candidate in sockets]
    return {scheme: Endpoint("localhost", port, *SCHEMES[scheme][:2]) for scheme, port in zip(schemes, ports, strict=True)}


@contextmanager
def _running(command: list[str], home: Path, endpoints: dict[str, Endpoint], cwd: Path | None = None) -> Iterator[None]:
    ports = [endpoint.port for endpoint in endpoints.values()]
    with (home / "output").open("wb") as output:
        server = subprocess.Popen(
            command, cwd=cwd or home, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not all(_listens(port) for port in ports):
            if server.poll() is not None or time.monotonic() > deadline:
                said = "\n".join(path.read_text(errors="replace") for path in (home / "log", home / "output") if path.exists())
                raise RuntimeError(f"{command[0]} did not start: {said}")
            time.sleep(0.02)
        yield
    finally:
        _end(server, ports)


def _end(server: subprocess.Popen[bytes], ports: list[int]) -> None:
    if server.poll() is None:
        # It leads a session of its own, so this reaches its children and nobody else; asked politely, Dovecot takes six seconds.
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    deadline = time.monotonic() + PATIENCE
    while any(_listens(port) for port in ports) and time.monotonic() < deadline:  # the children may take a moment longer
        time.sleep(0.02)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0
