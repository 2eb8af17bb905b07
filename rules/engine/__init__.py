"""The machinery that reads the rules: vocabulary, CEL compiler, loader and lint, evaluation, Decision, rule
tests.
"""

from rules.engine.bundle import Bundle, bundled_root, check, load
from rules.engine.decision import Decision
from rules.engine.describe import RuleRow, RuleSheet, Sentence, list_rules, rule_sheet
from rules.engine.errors import (
    ArchiveError,
    BundleError,
    DecisionError,
    ExpressionError,
    FactError,
    Problem,
    RulesError,
)
from rules.engine.evaluate import PhaseTwo, evaluate, fired_facts
from rules.engine.explain import Node
from rules.engine.facts import Fact, FactSet, FactSpec, FieldSpec, Source, Span, Vocabulary
from rules.engine.outcome import Outcome, OutcomeKind, Reason
from rules.engine.overlay import Overlay, RuleSettings, UpperLimit
from rules.engine.registers import Evidence, OrderTemplate
from rules.engine.rule import CardText, KeyImaging, ParamSpec, Rule, Urgency, severity
from rules.engine.sitediff import Difference, site_diff
from rules.engine.testing import CaseResult, LeafCoverage, Policy, RuleReport, run_tests
from rules.engine.text import NOT_RECORDED, fill, placeholders, said
from rules.engine.trial import LONGEST_RULE, Trial, try_rule

__all__ = [
    "LONGEST_RULE",
    "NOT_RECORDED",
    "ArchiveError",
    "Bundle",
    "BundleError",
    "CardText",
    "CaseResult",
    "Decision",
    "DecisionError",
    "Difference",
    "Evidence",
    "ExpressionError",
    "Fact",
    "FactError",
    "FactSet",
    "FactSpec",
    "FieldSpec",
    "KeyImaging",
    "LeafCoverage",
    "Node",
    "OrderTemplate",
    "Outcome",
    "OutcomeKind",
    "Overlay",
    "ParamSpec",
    "PhaseTwo",
    "Policy",
    "Problem",
    "Reason",
    "Rule",
    "RuleReport",
    "RuleRow",
    "RuleSettings",
    "RuleSheet",
    "RulesError",
    "Sentence",
    "Source",
    "Span",
    "Trial",
    "UpperLimit",
    "Urgency",
    "Vocabulary",
    "bundled_root",
    "check",
    "evaluate",
    "fill",
    "fired_facts",
    "list_rules",
    "load",
    "placeholders",
    "rule_sheet",
    "run_tests",
    "said",
    "severity",
    "site_diff",
    "try_rule",
]
