"""Get a server's certificate trusted by Allegra's JVM: look, judge as Java would, plan, apply, verify, roll back, with a record.

`import allegra_tls_kit as kit` gives every public name. Those that need pandas, ipywidgets or nbclient load them when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from allegra_tls_kit.anchor import AnchorCandidate, anchor_candidates, next_step
from allegra_tls_kit.certificate import CertificateFacts, certificate_facts, check_fingerprint, keytool_notation
from allegra_tls_kit.change import Verified, apply, verify
from allegra_tls_kit.choice import ImportChoice, KeystoreView, SurveyView
from allegra_tls_kit.demo import Laboratory, demo
from allegra_tls_kit.effective import EffectiveStore, effective_truststores
from allegra_tls_kit.endpoint import Endpoint, Protocol, Security
from allegra_tls_kit.errors import KitError
from allegra_tls_kit.events import Statement
from allegra_tls_kit.evidence import (
    RecordCheck,
    RecordFolder,
    list_records,
    open_journal,
    read_change_record,
    read_record,
    verify_record,
    write_record,
)
from allegra_tls_kit.explain import Explanation, explain
from allegra_tls_kit.files import default_anchors, read_certificates, read_endpoints, read_keystore, read_truststore
from allegra_tls_kit.journal import Journal
from allegra_tls_kit.jvm import JvmCase, JvmVerdict, jvm_verdicts
from allegra_tls_kit.keystore import Entry, EntryKind, Snapshot, StoreType
from allegra_tls_kit.locate import Allegra, locate
from allegra_tls_kit.outcome import Outcome, Recorded
from allegra_tls_kit.plan import (
    Action,
    ActionKind,
    Applied,
    Plan,
    plan_import,
    plan_removal,
    plan_rollback,
    simulate,
    suggest_alias,
)
from allegra_tls_kit.probe import probe, probe_all
from allegra_tls_kit.record import change_record
from allegra_tls_kit.rehearsal import rehearse_history, rehearse_import
from allegra_tls_kit.report import show, show_candidates, show_explanations, show_matrix, show_server, show_survey
from allegra_tls_kit.report_record import show_records
from allegra_tls_kit.report_upkeep import show_review
from allegra_tls_kit.standing import Review
from allegra_tls_kit.survey import Probe, ProbeFailure, Progress, judge
from allegra_tls_kit.trust import Diagnosis, Finding, FindingCode, Severity, diagnose
from allegra_tls_kit.upkeep import added_by, review

if TYPE_CHECKING:
    from allegra_tls_kit.browse import KeystoreBrowser, SurveyBrowser
    from allegra_tls_kit.machine import prerequisites
    from allegra_tls_kit.runbook import dated_copy, run_notebook, templates
    from allegra_tls_kit.tables import certificates_frame, entries_frame, plan_frame, survey_frame, trust_matrix
    from allegra_tls_kit.widgets import ImportGuide

__all__ = [
    "Action",
    "ActionKind",
    "Allegra",
    "AnchorCandidate",
    "Applied",
    "CertificateFacts",
    "Diagnosis",
    "EffectiveStore",
    "Endpoint",
    "Entry",
    "EntryKind",
    "Explanation",
    "Finding",
    "FindingCode",
    "ImportChoice",
    "ImportGuide",
    "Journal",
    "JvmCase",
    "JvmVerdict",
    "KeystoreBrowser",
    "KeystoreView",
    "KitError",
    "Laboratory",
    "Outcome",
    "Plan",
    "Probe",
    "ProbeFailure",
    "Progress",
    "Protocol",
    "RecordCheck",
    "RecordFolder",
    "Recorded",
    "Review",
    "Security",
    "Severity",
    "Snapshot",
    "Statement",
    "StoreType",
    "SurveyBrowser",
    "SurveyView",
    "Verified",
    "added_by",
    "anchor_candidates",
    "apply",
    "certificate_facts",
    "certificates_frame",
    "change_record",
    "check_fingerprint",
    "dated_copy",
    "default_anchors",
    "demo",
    "diagnose",
    "effective_truststores",
    "entries_frame",
    "explain",
    "judge",
    "jvm_verdicts",
    "keytool_notation",
    "list_records",
    "locate",
    "next_step",
    "open_journal",
    "plan_frame",
    "plan_import",
    "plan_removal",
    "plan_rollback",
    "prerequisites",
    "probe",
    "probe_all",
    "read_certificates",
    "read_change_record",
    "read_endpoints",
    "read_keystore",
    "read_record",
    "read_truststore",
    "rehearse_history",
    "rehearse_import",
    "review",
    "run_notebook",
    "show",
    "show_candidates",
    "show_explanations",
    "show_matrix",
    "show_records",
    "show_review",
    "show_server",
    "show_survey",
    "simulate",
    "suggest_alias",
    "survey_frame",
    "templates",
    "trust_matrix",
    "verify",
    "verify_record",
    "write_record",
]

_LOADED_LATER = {
    "ImportGuide": "widgets",
    "KeystoreBrowser": "browse",
    "SurveyBrowser": "browse",
    "certificates_frame": "tables",
    "entries_frame": "tables",
    "plan_frame": "tables",
    "prerequisites": "machine",
    "dated_copy": "runbook",
    "run_notebook": "runbook",
    "survey_frame": "tables",
    "templates": "runbook",
    "trust_matrix": "tables",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _LOADED_LATER:
        raise AttributeError(f"module 'allegra_tls_kit' has no attribute {name!r}")
    return getattr(import_module(f"allegra_tls_kit.{_LOADED_LATER[name]}"), name)
