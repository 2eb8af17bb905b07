"""FHIR answers as JSON, for tests of fetching."""

from typing import Any

from service.resources import Bundle, Resource

__all__ = ["Json", "condition", "ids", "outcome", "searchset"]

Json = dict[str, Any]


def searchset(*resources: Json, link: str | None = None, **members: Any) -> Json:
    """A searchset of the resources, with a link to the next page."""
    links = {"link": [{"relation": "next", "url": link}]} if link else {}
    entries = [{"resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries, **links, **members}


def condition(number: int, patient: str = "p1") -> Json:
    return {"resourceType": "Condition", "id": str(number), "subject": {"reference": f"Patient/{patient}"}}


def outcome(severity: str, code: str = "processing") -> Json:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code}]}


def ids(values: list[Resource]) -> list[str | None]:
    """Ids of the resources in the Bundles, in order."""
    return [
        entry.resource.id
        for value in values
        if isinstance(value, Bundle)
        for entry in value.entry or ()
        if entry.resource is not None
    ]
