"""What a kill switch may name: the rules in force, their modules, and the clients."""

import difflib
from collections.abc import Iterable

import msgspec

from rules.engine import Bundle
from service.errors import CallError

__all__ = ["SwitchTargetUnknown", "Targets"]

_FEW = 5


class SwitchTargetUnknown(CallError):
    """A kill switch for something that is not there. `near` are names that may have been meant."""

    code, status, issue = "switch-target-unknown", 422, "not-found"
    message = "No rule, module or client here has the name in target."
    action = 'Correct it, or send "unknown": true to throw it for what later rules or clients bring.'

    def __init__(self, near: Iterable[str] = ()) -> None:
        super().__init__()
        self.near = tuple(near)

    @property
    def diagnostics(self) -> str:
        return f"{self.action} Names like it: {', '.join(self.near)}." if self.near else self.action


class Targets(msgspec.Struct, frozen=True):
    """Names by the kind of a switch."""

    rule: frozenset[str]
    module: frozenset[str]
    client: frozenset[str]

    @classmethod
    def of(cls, bundle: Bundle, clients: Iterable[str]) -> "Targets":
        """Retired rules and those that the site has off are known too."""
        rules = bundle.rules
        return cls(frozenset(rules), frozenset(rule.module for rule in rules.values()), frozenset(clients))

    def knows(self, kind: str, target: str) -> bool:
        """Whether a switch of this kind and target can silence anything."""
        return kind == "service" or target in getattr(self, kind)

    def near(self, kind: str, target: str) -> tuple[str, ...]:
        """Names of the kind like the target; all of them where they are few and none is like it."""
        names = sorted(getattr(self, kind))
        return tuple(difflib.get_close_matches(target, names, 3) or (names if len(names) <= _FEW else ()))
