"""FHIR resources read into the facts of `rules/facts.yaml`: `record` indexes them, `extract` derives.

Nothing here decides: rules and thresholds live in the bundle.
"""

__all__: list[str] = []
