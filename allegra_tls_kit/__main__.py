"""The kit in a shell: `demo`, `lab`, `probe URL…`, `run NOTEBOOK -p name=value`, `check RECORD`.

Exit status: 0 all is well; 1 a server is not trusted or not reached, a run failed, or a record was altered; 2 the call itself is
wrong; 3 a run stopped where a person has to compare or to confirm, and what had not been confirmed was not changed; 130
interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from allegra_tls_kit.effective import Treatment, effective_truststores
from allegra_tls_kit.endpoint import Endpoint
from allegra_tls_kit.errors import EndpointError, KitError, LocateError, RecordError, RunbookError, RunbookStopped, SigningError
from allegra_tls_kit.evidence import records_folder, verify_record
from allegra_tls_kit.files import read_endpoints, read_truststore
from allegra_tls_kit.locate import locate
from allegra_tls_kit.outcome import Outcome
from allegra_tls_kit.probe import probe_all
from allegra_tls_kit.progress_line import ProgressLine
from allegra_tls_kit.report import show, show_server, show_survey
from allegra_tls_kit.survey import Interrupted, Probe, ProbeFailure, judge
from allegra_tls_kit.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from allegra_tls_kit.effective import EffectiveStore
    from allegra_tls_kit.keystore import Snapshot

DETAILED = 3
"""So many servers are shown at full length, more of them as a table."""
_By = tuple[str, tuple[bytes, ...] | None]
"""What a server is judged by: a sentence, and the anchors (DER), None where nothing can be judged."""
_NO_JAVA: _By = ("Not judged: no Java was found here; name a keystore with --truststore.", None)


STATUSES = ((RunbookStopped, 3), (EndpointError, 2), (LocateError, 2), (RunbookError, 2), (RecordError, 2), (SigningError, 2))
WELL = {Outcome.LOOKED, Outcome.UNCHANGED, Outcome.VERIFIED, Outcome.STILL_TRUSTED, Outcome.UNDONE}
"""How a run may end to be called done; one that was planned only has stopped before it came to its end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.run is not _lab:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    options.rest = rest
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console without the icons shows a question mark, and the words
    try:
        return int(options.run(options))
    except KitError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return next((status for kind, status in STATUSES if isinstance(error, kind)), 1)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m allegra_tls_kit", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    probe = commands.add_parser("probe", help="look at servers: chain, Java's verdict, what to do next")
    probe.add_argument("url", nargs="+", help="smtp://mail.example.com:587, ldaps://10.0.0.5 …, or a file with a list of them")
    probe.add_argument(
        "--truststore", default="", help="judge against this keystore instead of what Allegra or the Java found here reads"
    )
    probe.add_argument(
        "--timeout", type=_seconds, default=10.0, metavar="S", help="total for each server in seconds (default 10)"
    )
    probe.set_defaults(run=_probe)

    demo = commands.add_parser("demo", help="play a whole import against the embedded laboratory, unattended")
    demo.set_defaults(run=_demo)

    lab = commands.add_parser(
        "lab", help="open JupyterLab on the first notebook, in a work folder of copies; takes its options too"
    )
    lab.add_argument("--folder", type=Path, default=Path("allegra-tls-notebooks"), help="the work folder (default %(default)s)")
    lab.add_argument("--records", type=Path, help="where record folders are made (default $ALLEGRA_TLS_RECORDS or your home)")
    lab.set_defaults(run=_lab)

    run = commands.add_parser("run", help="execute a notebook unattended, with its record")
    run.add_argument("notebook", help="a name such as 20_import_certificate, or a path")
    run.add_argument(
        "-p", dest="parameters", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the notebook"
    )
    run.add_argument("--records", type=Path, help="where record folders are made (default $ALLEGRA_TLS_RECORDS or your home)")
    run.set_defaults(run=_run)

    check = commands.add_parser("check", help="tell whether record folders are what was written")
    check.add_argument("record", nargs="+", type=Path, help="a record folder")
    check.add_argument("--key", default="", metavar="FILE", help="the signer's public key, had from the signer")
    check.set_defaults(run=_check)
    return parser


def _seconds(text: str) -> float:
    if not (seconds := float(text)) > 0:
        raise ValueError(text)
    return seconds


def _probe(options: argparse.Namespace) -> int:
    endpoints = [endpoint for argument in options.url for endpoint in _endpoints(argument)]
    judged_by = _judged_by(options.truststore, endpoints)
    results, stopped = _looked_at(endpoints, options.timeout)
    judged = [
        (result, judge(result, anchors) if result.chain and anchors is not None else None)
        for result, (_, anchors) in zip(results, judged_by, strict=True)
    ]
    if len(judged) > DETAILED:
        words, anchors = judged_by[0]
        print(f"{words}\n\n{show_survey(results, anchors)}")
    else:
        print("\n\n".join(f"{words}\n\n{show_server(*each)}" for each, (words, _) in zip(judged, judged_by, strict=True)))
    well = all(isinstance(r, Probe) and (diagnosis is None or diagnosis.trusted) for r, diagnosis in judged)
    return 130 if stopped else 0 if well else 1


def _judged_by(named: str, endpoints: Sequence[Endpoint]) -> Sequence[_By]:
    """Return what each is judged by: the keystore that was named, or of a few what Allegra reads for each, if it is found."""
    if not named and len(endpoints) <= DETAILED:
        with suppress(LocateError):
            allegra = locate()
            return [_read_by_allegra(effective_truststores(endpoint, allegra)[0]) for endpoint in endpoints]
    store = read_truststore(named)
    return [_NO_JAVA if store is None else _by(store)] * len(endpoints)


def _read_by_allegra(store: EffectiveStore) -> _By:
    if store.treatment is Treatment.PASSED_OVER:
        return _NO_JAVA
    if store.treatment is Treatment.UNKNOWN:
        return f"Not judged: {store.path} cannot be read from here; ask as Allegra's user, or name one with --truststore.", None
    return _by(store)


def _by(store: Snapshot | EffectiveStore) -> _By:
    seen = count(len(store.anchors), "anchor")
    return f"Judged against {store.path}: {seen} that Java sees without a password.", store.anchors


def _looked_at(endpoints: Sequence[Endpoint], timeout: float) -> tuple[Sequence[Probe | ProbeFailure], bool]:
    """Return what was seen until the end, or until somebody stopped it, and whether somebody did."""
    line = ProgressLine() if len(endpoints) > DETAILED and sys.stderr.isatty() else None
    try:
        return probe_all(endpoints, timeout=timeout, progress=line), False
    except Interrupted as stopped:
        return stopped.results, True


def _endpoints(argument: str) -> Sequence[Endpoint]:
    return (Endpoint.parse(argument),) if "://" in argument or not Path(argument).is_file() else read_endpoints(argument)


def _demo(_options: argparse.Namespace) -> int:
    from allegra_tls_kit.walk import walk_through  # noqa: PLC0415 - the laboratory is built for this command alone

    return 0 if walk_through() else 1


def _lab(options: argparse.Namespace) -> int:
    from allegra_tls_kit.lab import open_lab  # noqa: PLC0415 - only this command opens it
    from allegra_tls_kit.runbook import copy_notebooks  # noqa: PLC0415 - only this command copies

    first = copy_notebooks(options.folder).resolve()
    print(f"Work in {first.parent}: the notebooks there are copies, and stay when you come back.", flush=True)
    open_lab(first, options.records, options.rest)


def _run(options: argparse.Namespace) -> int:
    from allegra_tls_kit.runbook import run_notebook  # noqa: PLC0415 - nbclient is slow to load

    parameters = {}
    for pair in options.parameters:
        name, equals, value = pair.partition("=")
        if not equals:
            raise RunbookError("write parameters as -p NAME=VALUE")
        parameters[name] = value
    done = run_notebook(options.notebook, options.records or records_folder(), parameters)
    print(f"Done: {done.outcome}. Record: {done.page}")
    return 0 if done.outcome in WELL else 1


def _check(options: argparse.Namespace) -> int:
    checks = [verify_record(folder, options.key) for folder in options.record]
    print("\n\n".join(str(show(check)) for check in checks))
    return 0 if all(check.intact for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
