"""The one exception tree of the protocol package.

    ProtocolError
    ├── HookError                  what a caller sent breaks CDS Hooks: answered with a 4xx
    │   ├── HookUnknown, HookMismatch, HookInstanceInvalid
    │   ├── ContextMissing, ContextInvalid, ContextFieldMissing, ContextFieldInvalid
    │   ├── FhirServerMissing, FhirServerInvalid
    │   └── FeedbackInvalid
    ├── TokenUnresolved            a prefetch template asks for what this call does not give
    ├── ServiceInvalid             a discovery entry that must not be published
    └── CardError                  an answer that must not be sent

A message names members of the protocol and never repeats a value: values can be health data.
"""

__all__ = [
    "CardError",
    "ContextFieldInvalid",
    "ContextFieldMissing",
    "ContextInvalid",
    "ContextMissing",
    "FeedbackInvalid",
    "FhirServerInvalid",
    "FhirServerMissing",
    "HookError",
    "HookInstanceInvalid",
    "HookMismatch",
    "HookUnknown",
    "ProtocolError",
    "ServiceInvalid",
    "TokenUnresolved",
]


class ProtocolError(Exception):
    """Root of what this package raises. `code` is stable, `message` one sentence, `action` what to do next.

    The arguments fill the places of `message`; they are names from the specification or from our own content.
    """

    code = "protocol-error"
    message = "The CDS Hooks message cannot be used."
    action = "Compare it with the CDS Hooks specification."

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.message = self.message.format(*names)

    def __str__(self) -> str:
        return f"{self.code}: {self.message} {self.action}"


class HookError(ProtocolError):
    """A request that cannot be answered as it was sent."""


class HookUnknown(HookError):
    """`hook` is absent, blank or no hook of the registry (REQ-02)."""

    code = "hook-unknown"
    message = "The request names no hook that this service knows."
    action = "Send one of the hook names that the discovery endpoint lists."


class HookMismatch(HookError):
    """The hook is known but not offered under the called service id (REQ-02, DSC-13)."""

    code = "hook-mismatch"
    message = "The called service is not offered for the hook {}."
    action = "Call the service id that the discovery endpoint lists for this hook."


class HookInstanceInvalid(HookError):
    """`hookInstance` is absent, blank, too long or not printable (REQ-03)."""

    code = "hook-instance-invalid"
    message = "hookInstance is missing, or is not a printable string of at most 128 characters."
    action = "Send a UUID that is new for every call."


class ContextMissing(HookError):
    """`context` is absent or null (REQ-08)."""

    code = "context-missing"
    message = "The request has no context."
    action = "Send the context object that the hook defines."


class ContextInvalid(HookError):
    """`context` is not a JSON object."""

    code = "context-invalid"
    message = "The context is not a JSON object."
    action = "Send the context object that the hook defines."


class ContextFieldMissing(HookError):
    """A field that the hook requires is absent, null or blank."""

    code = "context-field-missing"
    message = "The context lacks {}, which the hook {} requires."
    action = "Send the field as the definition of the hook describes it."


class ContextFieldInvalid(HookError):
    """A field of the context does not have the form the hook defines, nor one that is tolerated."""

    code = "context-field-invalid"
    message = "The context field {} of the hook {} does not have the defined form."
    action = "Send the field as the definition of the hook describes it."


class FhirServerMissing(HookError):
    """`fhirAuthorization` came without `fhirServer` (REQ-04)."""

    code = "fhir-server-missing"
    message = "The request has fhirAuthorization but no fhirServer."
    action = "Send the base URL of the FHIR server that the token is for, or leave the token out."


class FhirServerInvalid(HookError):
    """`fhirServer` is not an absolute HTTP URL."""

    code = "fhir-server-invalid"
    message = "fhirServer is not an absolute http or https URL."
    action = "Send the base URL of the FHIR server."


class FeedbackInvalid(HookError):
    """The body of a feedback call is not JSON in a shape that holds feedback entries (FBK-02)."""

    code = "feedback-invalid"
    message = "The body is not a JSON object with an array named feedback."
    action = "Send the feedback body that CDS Hooks describes."


class TokenUnresolved(ProtocolError):
    """A token of a prefetch template has no value in this call, so the query cannot be made."""

    code = "prefetch-token-unresolved"
    message = "The prefetch template {} uses {}, which this call does not give."
    action = "Leave the query out for this call."


class ServiceInvalid(ProtocolError):
    """A service definition that breaks the rules of discovery or has an unsafe prefetch template."""

    code = "service-invalid"
    message = "The service {} cannot be published: {}."
    action = "Correct the definition of the service."


class CardError(ProtocolError):
    """Something of an answer that would break CDS Hooks or a documented limit of an EHR."""

    code = "card-invalid"
    message = "{} {}."
    action = "Correct the rule content or the code that builds the card."
