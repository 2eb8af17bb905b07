"""Where calls are answered: everything a process holds for it, and the steps from bytes to bytes.

`Desk` is made once in a worker. It knows no HTTP: the application hands it headers and a body and gets back
what to send. Source: design of one call; CDS Hooks 2.0.1 Calling a CDS Service, Discovery, Feedback.
"""

import asyncio
import copy
import datetime as dt
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import httpx
import msgspec
import orjson

from hooks import REGISTRY, Context, Envelope, Hook, Service, check, encode
from hooks.discovery import discovery
from hooks.epic import effective_hook, fhir_version
from hooks.feedback import FeedbackBatch
from hooks.feedback import parse as parse_feedback
from service.access import Grant, grant
from service.answering import POLICY_FACTS, Answer, Call, conclude, consider, explanation
from service.decode import Call as Decoded
from service.decode import Problem, decode_call, decode_context, instance_in
from service.dialects import adapt
from service.errors import MemberInvalid, UnknownService
from service.fhir import Access, FhirClient
from service.fhir_version import FhirVersion, version_named
from service.knowledge import CRITICAL_OFF, Knowledge
from service.logs import bind_call, logger
from service.memory.fingerprint import Watch
from service.memory.modes import overdue, trial_warnings
from service.memory.opening import open_memory
from service.memory.restraint import Caps, Restraint
from service.memory.targets import Targets
from service.metrics import Metrics
from service.prefetch import Gathered, gather
from service.queries import Query, plan
from service.refusals import Reloads
from service.release import in_release
from service.resources import Resource
from service.settings import Settings
from service.traces import open_traces
from service.trust import Caller, Client, Gate, Throttle, TrustOptions, open_gate
from service.wire import Wire

__all__ = ["SERVICE_ID", "SERVICE_IDS", "Desk", "trust_options"]

SERVICE_ID = "red-flags"
_HOOKS_OF: dict[str, tuple[str, ...]] = {
    SERVICE_ID: tuple(REGISTRY),
    **{f"{SERVICE_ID}-{hook}": (hook,) for hook in REGISTRY},
}
SERVICE_IDS = tuple(_HOOKS_OF)
"""Every id calls are taken under: the one of all hooks, then one for each hook."""
TITLE = "Red flags in low back and hip pain"
DESCRIPTION = (
    "Looks for signs that low back or hip pain may be cancer, cord compression, infection, fracture or an "
    "inflammatory mimic, and says why and what to consider. No card is no all-clear."
)


class Desk:
    """Answers calls. Belongs to one event loop; `aclose` it at the end."""

    def __init__(
        self,
        settings: Settings,
        knowledge: Knowledge,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`transport` replaces the guarded one for FHIR servers and key sets in tests."""
        self.settings = settings
        self.metrics = Metrics()
        self.gate: Gate = open_gate(
            trust_options(settings), transport=transport, replay_failed=self.metrics.replay_failed
        )
        self.throttle = Throttle(settings.workers)
        self.metrics.loaded(knowledge.bundle.digest, knowledge.bundle.version, time.time())
        self.memory = open_memory(settings, self.metrics, self._tell_overdue)
        self.reloads = Reloads()
        self.traces = open_traces(settings)
        self._fhir = FhirClient(
            Wire(transport),
            noted=self.metrics.fhir_request,
            queried=self.traces.query if self.traces is not None else None,
        )
        self._go_by(knowledge)
        self._name_targets()

    def _go_by(self, knowledge: Knowledge) -> None:
        """Everything that follows from the rules."""
        self.knowledge = knowledge
        self._restraint = Restraint(
            self.memory,
            Watch(knowledge.bundle),
            per_clinician=self.settings.quiet_per == "clinician",
            caps=Caps(self.settings.cards_per_clinician_day, self.settings.cards_per_encounter),
        )
        self._plans: dict[str, tuple[Query, ...]] = {
            name: plan(knowledge.bundle, name, POLICY_FACTS) for name in REGISTRY
        }
        self._discoveries: dict[tuple[str, bool], bytes] = {}
        # What cannot be published shall not start.
        self.discover(None)

    async def aclose(self) -> None:
        await self.memory.aclose()
        self.metrics.close()
        await self._fhir.aclose()
        if self.traces is not None:
            await asyncio.get_running_loop().run_in_executor(None, self.traces.close)
        await self.gate.aclose()

    def with_knowledge(self, knowledge: Knowledge) -> "Desk":
        """A desk that answers by other rules and shares everything else with this one, which
        closes it all.
        """
        other = copy.copy(self)
        other._go_by(knowledge)
        return other

    def takes_over(self, now: float) -> None:
        """This desk, made by `with_knowledge`, is the one in force from `now` on (seconds since 1970)."""
        self.reloads.refusal = None
        self.memory.each_day(self._tell_overdue)
        self._name_targets()
        self.metrics.loaded(self.knowledge.bundle.digest, self.knowledge.bundle.version, now)
        self.metrics.reloaded()

    @property
    def origins(self) -> frozenset[str]:
        """Web origins whose pages may call."""
        unsigned = frozenset(self.settings.cors_origins)
        return unsigned if not self.settings.auth else unsigned | self.gate.clients.origins()

    # -- discovery ---------------------------------------------------------------------------------

    def discover(self, caller: Caller | None, *, apart: bool = False) -> bytes:
        """The discovery document in the CDS Hooks version of the caller.

        With `apart` each hook has a service id of its own, for the CDS Hooks Sandbox and other pages that
        keep one service per URL and would lose all hooks but the last of one id.
        """
        version = "3.0.0" if caller is not None and caller.client.hooks_version == "3.0" else ""
        found = self._discoveries.get((version, apart))
        if found is None:
            services = self._described(apart)
            found = orjson.dumps(discovery(services, version=version or None))
            self._discoveries[version, apart] = found
        return found

    def _described(self, apart: bool) -> list[Service]:
        usage = (
            "Needs the prefetch below, or fhirServer and fhirAuthorization on the list of allowed servers. "
            "Without either it answers 412. What could not be had is named on the card."
        )
        off = self.knowledge.bundle.overlay.modules_off
        if "critical" in off:
            usage += f" The critical rules are off here: {off['critical'] or CRITICAL_OFF}."
        templates = {name: [query.template() for query in plan] for name, plan in self._plans.items()}
        offered = [service_id for service_id in SERVICE_IDS if (service_id != SERVICE_ID) is apart]
        return [
            Service(name, TITLE, DESCRIPTION, hooks, {hook: templates[hook] for hook in hooks}, usage)
            for name in offered
            if (hooks := _HOOKS_OF[name])
        ]

    # -- a hook call -------------------------------------------------------------------------------

    def hooks_of(self, service_id: str) -> Sequence[str]:
        """The hooks a service id is offered for. Raises UnknownService for an id that is none of ours."""
        hooks = _HOOKS_OF.get(service_id)
        if hooks is None:
            raise UnknownService
        return hooks

    async def answer(
        self, body: bytes, caller: Caller, now: dt.datetime, hooks: Sequence[str] = _HOOKS_OF[SERVICE_ID]
    ) -> Answer:
        """The answer to a call of one of `hooks`. Raises CallError and hooks.HookError for what is answered
        with an error.
        """
        started = time.perf_counter()
        call = _read(body)
        envelope = call.envelope
        name = effective_hook(envelope)
        bind_call(envelope.hookInstance, **({"hook": name} if name in REGISTRY else {}))
        hook = check(envelope, hooks)
        self._note_deviations(call, caller)
        problems = list(call.problems)
        context: Context[Resource] = hook.read(envelope.context, partial(_decoded, problems))
        decoded = time.perf_counter()
        gathered = await self._gather(name, envelope, hook, context, caller.client, problems, started)
        fetched = time.perf_counter()
        public = self.settings.base_url if self.settings.base_url.startswith("https:") else ""
        asked = Call(name, envelope.hookInstance, context, now, public, envelope.fhirServer or "")
        considered = consider(self.knowledge, asked, gathered)
        probe = caller.client.is_canary(context.patient_id)
        await self._restraint.apply(considered, caller.client.id, remembers=not probe)
        remembered = time.perf_counter()
        answered = conclude(self.knowledge, considered)
        cards = adapt(in_release(answered.cards, gathered.version), caller.client)
        spent = {
            "decode": (decoded - started) * 1000,
            "fetch": (fetched - decoded) * 1000,
            **answered.milliseconds,
            "store": (remembered - considered.decided) * 1000,
            "total": (time.perf_counter() - started) * 1000,
        }
        return msgspec.structs.replace(answered, cards=cards, milliseconds=spent)

    def _note_deviations(self, call: Decoded, caller: Caller) -> None:
        """Count what the EHR should be told about, though it keeps no call from its answer."""
        for what in (*call.envelope.deviations, *call.deviations):
            self.metrics.deviates(caller.client.id, what)
        if caller.audience_tolerated:
            self.metrics.deviates(caller.client.id, "audience-tolerated")

    async def _gather(
        self,
        name: str,
        envelope: Envelope[Resource],
        hook: Hook,
        context: Context[Resource],
        client: Client,
        problems: Sequence[Problem],
        started: float,
    ) -> Gathered:
        spent = time.perf_counter() - started
        return await gather(
            envelope.prefetch,
            self._plans[name],
            patient_id=context.patient_id,
            access=Access(self._fhir, partial(_ask, envelope, client, context.patient_id), client.smart),
            seconds=self.settings.fetch_budget_ms / 1000 - spent,
            version=_version(envelope, client),
            problems=problems,
        )

    @staticmethod
    def encoded(answered: Answer) -> bytes:
        return encode(answered.response)

    @staticmethod
    def explained(answered: Answer) -> bytes:
        return orjson.dumps(explanation(answered))

    # -- feedback ----------------------------------------------------------------------------------

    async def feedback(self, body: bytes, caller: Caller, now: dt.datetime) -> FeedbackBatch:
        """Commit feedback. Raises hooks.FeedbackInvalid for a body that holds no entries, Overloaded when
        they cannot be committed.
        """
        batch = parse_feedback(body)
        if batch.entries:
            await self.memory.feedback(batch, caller.client.id, now.timestamp())
        return batch

    def standing(self) -> Mapping[str, Any]:
        """What /readyz says: the bundle, and what is out of order though calls are answered."""
        bundle, origin = self.knowledge.bundle, self.knowledge.origin
        return {
            "status": "ready",
            "bundle": {
                "version": bundle.version,
                "digest": bundle.digest,
                "rules": len(bundle.programs),
                **msgspec.to_builtins(origin),
            },
            "memory": self.memory.standing(),
            "warnings": [
                *self.reloads.warnings(),
                *map(str, bundle.warnings),
                *(told.says for told in self.gate.warnings),
                *self.gate.failing(),
                *self.memory.warnings(),
                *trial_warnings(bundle, self._today()),
            ],
        }

    def _today(self) -> dt.date:
        return dt.datetime.now(self.knowledge.zone).date()

    def _name_targets(self) -> None:
        """Let kill switches be thrown for what is in force here."""
        self.memory.switches.targets = Targets.of(self.knowledge.bundle, self.gate.client_ids)

    def _tell_overdue(self) -> None:
        for rule in overdue(self.knowledge.bundle, self._today()):
            logger().warning("trial-overdue", rule=rule)


def _read(body: bytes) -> Decoded:
    """The decoded call. One that is refused for a member is told apart in the log all the same."""
    try:
        return decode_call(body)
    except MemberInvalid:
        bind_call(instance_in(body))
        raise


def _decoded(problems: list[Problem], raw: msgspec.Raw) -> Resource | None:
    return decode_context(raw, problems)


def _ask(envelope: Envelope[Resource], client: Client, patient_id: str) -> Grant:
    return grant(
        envelope.fhirServer, envelope.fhirAuthorization, allowed=client.fhir_servers, patient_id=patient_id
    )


def _version(envelope: Envelope[Resource], client: Client) -> FhirVersion | None:
    if client.fhir_version is not None:
        return FhirVersion(client.fhir_version)
    return version_named(fhir_version(envelope))


def trust_options(settings: Settings) -> TrustOptions:
    """What the settings say about trust."""
    return TrustOptions(
        public_url=settings.base_url,
        auth=settings.auth,
        production=settings.profile == "production",
        workers=settings.workers,
        clients_file=settings.clients,
        trust_sandbox=settings.trust_sandbox,
        fhir_allow=settings.fhir_allow,
        cors_origins=settings.cors_origins,
        replay_file=settings.state_dir / "replay.sqlite" if settings.state_dir is not None else None,
        replay_on_failure=settings.replay_on_failure,
        mtls_header=settings.mtls_header,
        trusted_proxies=settings.trusted_proxies,
    )
