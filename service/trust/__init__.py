"""Trust: who calls, and what that caller may do.

`open_gate` reads the client list and gives the Gate that identifies every caller; the middlewares and the
Throttle stand around it.
"""

from service.trust.clientfile import ClientsError, clients_schema, read_clients
from service.trust.clients import CANARY_PATIENTS, Audience, CallLimits, Client, Clients
from service.trust.cors import Cors
from service.trust.gate import Caller, Gate, TrustOptions, open_gate
from service.trust.headers import SecurityHeaders
from service.trust.jwt import TimeRules
from service.trust.keys import FetchLimits, KeysError
from service.trust.limits import BodyLimit, Throttle

__all__ = [
    "CANARY_PATIENTS",
    "Audience",
    "BodyLimit",
    "CallLimits",
    "Caller",
    "Client",
    "Clients",
    "ClientsError",
    "Cors",
    "FetchLimits",
    "Gate",
    "KeysError",
    "SecurityHeaders",
    "Throttle",
    "TimeRules",
    "TrustOptions",
    "clients_schema",
    "open_gate",
    "read_clients",
]
