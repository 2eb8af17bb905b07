"""CDS Hooks: what an EHR says and what it is answered.

The protocol only. Nothing here does I/O, knows medicine, or reads the clock. A call is decoded with
`msgspec.json.Decoder(Envelope[Resource])`, checked with `check`, its context read with `Hook.read`; an
answer is built from the types of `hooks.cards` and sent with `encode`.
"""

from hooks.cards import Action, Card, Coding, Link, Response, Source, Suggestion, encode
from hooks.discovery import Service
from hooks.errors import CardError, HookError, ProtocolError, ServiceInvalid, TokenUnresolved
from hooks.feedback import Feedback, FeedbackBatch
from hooks.hook import Context, Hook
from hooks.override_reasons import OVERRIDE_REASONS
from hooks.prefetch import PrefetchTemplate
from hooks.registry import REGISTRY
from hooks.request import Envelope, FhirAuthorization, check
from hooks.templates import Filling, Template

__all__ = [
    "OVERRIDE_REASONS",
    "REGISTRY",
    "Action",
    "Card",
    "CardError",
    "Coding",
    "Context",
    "Envelope",
    "Feedback",
    "FeedbackBatch",
    "FhirAuthorization",
    "Filling",
    "Hook",
    "HookError",
    "Link",
    "PrefetchTemplate",
    "ProtocolError",
    "Response",
    "Service",
    "ServiceInvalid",
    "Source",
    "Suggestion",
    "Template",
    "TokenUnresolved",
    "check",
    "encode",
]
