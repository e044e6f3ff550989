"""Get a server's certificate trusted by Allegra's JVM: look, judge as Java would, plan, apply, verify, roll back, with a record.

`import allegra_tls_kit as kit` gives every public name. What not every look needs is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from allegra_tls_kit.anchor import AnchorCandidate, anchor_candidates, next_step
from allegra_tls_kit.certificate import CertificateFacts, certificate_facts, keytool_notation
from allegra_tls_kit.change import Verified, apply, verify
from allegra_tls_kit.choice import ImportChoice, KeystoreView, SurveyView, check_fingerprint
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
from allegra_tls_kit.files import (
    default_anchors,
    read_certificates,
    read_endpoints,
    read_keystore,
    read_to_restore,
    read_truststore,
)
from allegra_tls_kit.journal import Journal
from allegra_tls_kit.jvm import JvmCase, JvmVerdict, jvm_anchors, jvm_verdicts
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
    simulate,
    suggest_alias,
)
from allegra_tls_kit.probe import probe, probe_all, probe_zones
from allegra_tls_kit.report import show, show_candidates, show_explanations, show_matrix, show_server, show_survey
from allegra_tls_kit.report_upkeep import show_review
from allegra_tls_kit.survey import Interrupted, Probe, ProbeFailure, Progress, Zoned, judge, merged
from allegra_tls_kit.trust import Diagnosis, Finding, FindingCode, Severity, diagnose

if TYPE_CHECKING:
    from allegra_tls_kit.browse import KeystoreBrowser, SurveyBrowser
    from allegra_tls_kit.comparison import Compared, Comparison, Presence, compare_stores, ours, plan_carry_over
    from allegra_tls_kit.drift import Drift, DriftKind, compare_surveys
    from allegra_tls_kit.exports import export_csv, export_excel, export_json_lines, export_pem
    from allegra_tls_kit.machine import prerequisites
    from allegra_tls_kit.progress_line import ProgressLine
    from allegra_tls_kit.reach import reach_of
    from allegra_tls_kit.record import change_record
    from allegra_tls_kit.rehearsal import rehearse_history, rehearse_import
    from allegra_tls_kit.report_drift import show_drift
    from allegra_tls_kit.report_frame import show_expiry, show_frame
    from allegra_tls_kit.report_record import show_records
    from allegra_tls_kit.report_store import show_plan, show_plans
    from allegra_tls_kit.risk import Reach
    from allegra_tls_kit.runbook import dated_copy, run_notebook, templates
    from allegra_tls_kit.several import Plans, StorePlan, plan_for
    from allegra_tls_kit.standing import Review
    from allegra_tls_kit.superset import plan_superset, plan_supersets
    from allegra_tls_kit.survey_file import load_survey, save_survey
    from allegra_tls_kit.system_store import system_commands
    from allegra_tls_kit.tables import (
        certificates_frame,
        columns_frame,
        entries_frame,
        plan_frame,
        survey_frame,
        trust_matrix,
    )
    from allegra_tls_kit.upkeep import added_by, review
    from allegra_tls_kit.views import (
        drift_frame,
        expiry_frame,
        issuers_frame,
        names_frame,
        old_tls_frame,
        pinned_frame,
        shared_frame,
    )
    from allegra_tls_kit.way_back import plan_restore, plan_rollback
    from allegra_tls_kit.widgets import ImportGuide

__all__ = [
    "Action",
    "ActionKind",
    "Allegra",
    "AnchorCandidate",
    "Applied",
    "CertificateFacts",
    "Compared",
    "Comparison",
    "Diagnosis",
    "Drift",
    "DriftKind",
    "EffectiveStore",
    "Endpoint",
    "Entry",
    "EntryKind",
    "Explanation",
    "Finding",
    "FindingCode",
    "ImportChoice",
    "ImportGuide",
    "Interrupted",
    "Journal",
    "JvmCase",
    "JvmVerdict",
    "KeystoreBrowser",
    "KeystoreView",
    "KitError",
    "Laboratory",
    "Outcome",
    "Plan",
    "Plans",
    "Presence",
    "Probe",
    "ProbeFailure",
    "Progress",
    "ProgressLine",
    "Protocol",
    "Reach",
    "RecordCheck",
    "RecordFolder",
    "Recorded",
    "Review",
    "Security",
    "Severity",
    "Snapshot",
    "Statement",
    "StorePlan",
    "StoreType",
    "SurveyBrowser",
    "SurveyView",
    "Verified",
    "Zoned",
    "added_by",
    "anchor_candidates",
    "apply",
    "certificate_facts",
    "certificates_frame",
    "change_record",
    "check_fingerprint",
    "columns_frame",
    "compare_stores",
    "compare_surveys",
    "dated_copy",
    "default_anchors",
    "demo",
    "diagnose",
    "drift_frame",
    "effective_truststores",
    "entries_frame",
    "expiry_frame",
    "explain",
    "export_csv",
    "export_excel",
    "export_json_lines",
    "export_pem",
    "issuers_frame",
    "judge",
    "jvm_anchors",
    "jvm_verdicts",
    "keytool_notation",
    "list_records",
    "load_survey",
    "locate",
    "merged",
    "names_frame",
    "next_step",
    "old_tls_frame",
    "open_journal",
    "ours",
    "pinned_frame",
    "plan_carry_over",
    "plan_for",
    "plan_frame",
    "plan_import",
    "plan_removal",
    "plan_restore",
    "plan_rollback",
    "plan_superset",
    "plan_supersets",
    "prerequisites",
    "probe",
    "probe_all",
    "probe_zones",
    "reach_of",
    "read_certificates",
    "read_change_record",
    "read_endpoints",
    "read_keystore",
    "read_record",
    "read_to_restore",
    "read_truststore",
    "rehearse_history",
    "rehearse_import",
    "review",
    "run_notebook",
    "save_survey",
    "shared_frame",
    "show",
    "show_candidates",
    "show_drift",
    "show_expiry",
    "show_explanations",
    "show_frame",
    "show_matrix",
    "show_plan",
    "show_plans",
    "show_records",
    "show_review",
    "show_server",
    "show_survey",
    "simulate",
    "suggest_alias",
    "survey_frame",
    "system_commands",
    "templates",
    "trust_matrix",
    "verify",
    "verify_record",
    "write_record",
]

_LOADED_LATER = {
    "Compared": "comparison",
    "Comparison": "comparison",
    "Drift": "drift",
    "DriftKind": "drift",
    "ImportGuide": "widgets",
    "KeystoreBrowser": "browse",
    "Plans": "several",
    "Presence": "comparison",
    "ProgressLine": "progress_line",
    "Reach": "risk",
    "Review": "standing",
    "StorePlan": "several",
    "SurveyBrowser": "browse",
    "added_by": "upkeep",
    "certificates_frame": "tables",
    "change_record": "record",
    "columns_frame": "tables",
    "compare_stores": "comparison",
    "compare_surveys": "drift",
    "dated_copy": "runbook",
    "drift_frame": "views",
    "entries_frame": "tables",
    "expiry_frame": "views",
    "export_csv": "exports",
    "export_excel": "exports",
    "export_json_lines": "exports",
    "export_pem": "exports",
    "issuers_frame": "views",
    "load_survey": "survey_file",
    "names_frame": "views",
    "old_tls_frame": "views",
    "ours": "comparison",
    "pinned_frame": "views",
    "plan_carry_over": "comparison",
    "plan_for": "several",
    "plan_frame": "tables",
    "plan_restore": "way_back",
    "plan_rollback": "way_back",
    "plan_superset": "superset",
    "plan_supersets": "superset",
    "prerequisites": "machine",
    "reach_of": "reach",
    "rehearse_history": "rehearsal",
    "rehearse_import": "rehearsal",
    "review": "upkeep",
    "run_notebook": "runbook",
    "save_survey": "survey_file",
    "shared_frame": "views",
    "show_drift": "report_drift",
    "show_expiry": "report_frame",
    "show_frame": "report_frame",
    "show_plan": "report_store",
    "show_plans": "report_store",
    "show_records": "report_record",
    "survey_frame": "tables",
    "system_commands": "system_store",
    "templates": "runbook",
    "trust_matrix": "tables",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _LOADED_LATER:
        raise AttributeError(f"module 'allegra_tls_kit' has no attribute {name!r}")
    return getattr(import_module(f"allegra_tls_kit.{_LOADED_LATER[name]}"), name)
