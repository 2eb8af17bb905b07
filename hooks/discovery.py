"""What the discovery endpoint answers: one entry for each hook of each service.

Source: CDS Hooks 2.0.1, Discovery (DSC-01 to DSC-13). One id under several hooks tells a client that a later
card replaces an earlier one.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from hooks.errors import ServiceInvalid
from hooks.prefetch import PrefetchTemplate, lint
from hooks.registry import REGISTRY

__all__ = ["Service", "discovery"]

_URL_SAFE = re.compile(r"[A-Za-z0-9._~-]{1,64}\Z")


class Service(msgspec.Struct, frozen=True):
    """A service as published. `templates` maps a hook's name to its prefetch templates.

    Raises ServiceInvalid, so that what exists can be published: every hook is in the registry and every
    template passes the lint for its hook.
    """

    id: str
    title: str
    description: str
    hooks: tuple[str, ...]
    templates: Mapping[str, Sequence[PrefetchTemplate]] = {}
    usage_requirements: str = ""

    def __post_init__(self) -> None:
        if not _URL_SAFE.match(self.id):
            raise ServiceInvalid("definition", "its id is not safe in a URL")
        if not self.title.strip() or not self.description.strip():
            raise ServiceInvalid(self.id, "title or description is blank")
        if not self.hooks or len(set(self.hooks)) < len(self.hooks) or not set(self.hooks) <= set(REGISTRY):
            raise ServiceInvalid(self.id, "its hooks are none, repeated or not in the registry")
        if not set(self.templates) <= set(self.hooks):
            raise ServiceInvalid(self.id, "it has templates for a hook it is not offered for")
        for hook, templates in self.templates.items():
            self._check(hook, templates)

    def _check(self, hook: str, templates: Sequence[PrefetchTemplate]) -> None:
        keys = [template.key for template in templates]
        if len(set(keys)) < len(keys):
            raise ServiceInvalid(self.id, f"a prefetch key for {hook} is repeated")
        for template in templates:
            for problem in lint(template, REGISTRY[hook]):
                raise ServiceInvalid(self.id, f"prefetch {problem.key} for {hook}: {problem.code}")


def discovery(services: Iterable[Service], *, version: str | None = None) -> dict[str, Any]:
    """The discovery body: services as given, the hooks of each in the order of the registry.

    `version` is the CDS Hooks version to state, a semantic version in 3.0; up to 2.0.1 there is no such
    member. Raises ServiceInvalid when two services have one id.
    """
    entries: list[dict[str, Any]] = []
    seen: set[str] = set()
    for service in services:
        if service.id in seen:
            raise ServiceInvalid(service.id, "another service has this id")
        seen.add(service.id)
        entries += (_entry(service, hook, version) for hook in REGISTRY if hook in service.hooks)
    return {"services": entries}


def _entry(service: Service, hook: str, version: str | None) -> dict[str, Any]:
    prefetch = {template.key: template.query for template in service.templates.get(hook, ())}
    members = {
        "hook": hook,
        "title": service.title,
        "description": service.description,
        "id": service.id,
        "prefetch": prefetch,
        "usageRequirements": service.usage_requirements,
        "version": version,
    }
    return {name: value for name, value in members.items() if value}
