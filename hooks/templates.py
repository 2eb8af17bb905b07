"""Resources of suggestions, checked once as templates and filled for each call.

The same few orders go out again and again, differing in subject, date and reason. A template is checked when
it is made and what is filled in when that is made, so that nothing unchecked can get into an answer and
nothing is checked twice. Source: CDS Hooks 2.0.1, Null and empty JSON elements (GEN-03, GEN-04).
"""

from collections.abc import Mapping
from typing import Any

from hooks.content import check_json

__all__ = ["Filled", "Filling", "Template"]


class Filling:
    """Members to put into templates. Raises CardError when one is null, empty or no JSON."""

    __slots__ = ("members",)

    def __init__(self, members: Mapping[str, Any]) -> None:
        check_json("filling", dict(members))
        self.members = dict(members)


class Filled(dict[str, Any]):
    """A resource made by `Template.fill`, and so checked already."""


class Template:
    """A resource that lacks what each call adds. Raises CardError when it could not be sent as it is."""

    __slots__ = ("_resource",)

    def __init__(self, resource: Mapping[str, Any]) -> None:
        check_json("template", dict(resource))
        self._resource = dict(resource)

    def fill(self, filling: Filling) -> Filled:
        """The resource with the members of `filling`, which replace its own."""
        return Filled({**self._resource, **filling.members})
