"""What settings do together: what is refused, and what the operator must be told though it is allowed."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import TYPE_CHECKING

from service.errors import SettingProblem
from service.traces import installed

if TYPE_CHECKING:
    from service.settings import Settings

__all__ = ["conflicts", "warnings"]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def warnings(settings: "Settings") -> tuple[str, ...]:
    """What the operator must be told at start although it is allowed."""
    told = []
    if not settings.auth:
        told.append(
            "Authentication is OFF: anyone who reaches this port can call. Never send real patient data."
        )
        if settings.host not in _LOOPBACK:
            told.append("Unsigned calls are taken from other machines, because TOCSIN_HOST is not loopback.")
    elif settings.clients is None and not settings.trust_sandbox:
        told.append("No EHR can call: authentication is on and TOCSIN_CLIENTS lists none.")
    if settings.auth and settings.profile == "production" and settings.public_url is None:
        told.append(
            "Tokens must be made out to the address we listen on, because TOCSIN_PUBLIC_URL is not set."
        )
    if settings.store_url == "memory:":
        told.append("Decisions and feedback are kept in memory only: set TOCSIN_STATE_DIR to keep them.")
    if not settings.critical_rules:
        told.append("Critical rules are OFF: cord compression, cauda equina and infection raise no card.")
    return tuple(told)


def conflicts(settings: "Settings") -> Iterator[tuple[set[str], SettingProblem]]:
    """Settings that do not go together, with the fields that must be sound for the verdict to hold."""
    if settings.profile == "production":
        yield from _not_for_production(settings)
    if settings.fetch_budget_ms >= settings.budget_ms:
        yield (
            {"fetch_budget_ms", "budget_ms"},
            SettingProblem(
                "TOCSIN_FETCH_BUDGET_MS",
                "It leaves no time for the rules.",
                "Set it well below TOCSIN_BUDGET_MS.",
            ),
        )
    if settings.auth and settings.workers > 1 and settings.state_dir is None:
        yield (
            {"auth", "workers", "state_dir"},
            SettingProblem(
                "TOCSIN_STATE_DIR",
                "Several workers need one to remember used tokens together.",
                "Set a folder that survives restarts.",
            ),
        )
    if settings.store_url.startswith("postgres") and settings.patient_key is None:
        yield (
            {"database_url", "patient_key"},
            SettingProblem(
                "TOCSIN_PATIENT_KEY",
                "All replicas that share a database need the same one.",
                "Set it to a long random text.",
            ),
        )
    if settings.traces and not installed():
        yield (
            {"traces"},
            SettingProblem(
                "TOCSIN_TRACES",
                "The packages it needs are not installed.",
                "Install the extra `traces`, or build the image with --build-arg EXTRAS=traces.",
            ),
        )
    yield from _administration(settings)
    if bool(settings.mtls_header) != bool(settings.trusted_proxies):
        yield (
            {"mtls_header", "trusted_proxies"},
            SettingProblem(
                "TOCSIN_MTLS_HEADER", "It goes together with TOCSIN_TRUSTED_PROXIES.", "Set both or neither."
            ),
        )


def _administration(settings: "Settings") -> Iterator[tuple[set[str], SettingProblem]]:
    """A proxy that says who signs in needs its address, and someone who may."""
    parts = (settings.admin_header, settings.admin_proxies, settings.admin_users or settings.admin_groups)
    if any(parts) and not all(parts):
        yield (
            {"admin_header", "admin_proxies", "admin_users", "admin_groups"},
            SettingProblem(
                "TOCSIN_ADMIN_HEADER",
                "It goes together with TOCSIN_ADMIN_PROXIES, and TOCSIN_ADMIN_USERS or TOCSIN_ADMIN_GROUPS.",
                "Set them all, or none.",
            ),
        )
    if settings.admin_header and _overlap(settings.admin_proxies, settings.trusted_proxies):
        yield (
            {"admin_proxies", "trusted_proxies"},
            SettingProblem(
                "TOCSIN_ADMIN_PROXIES",
                "It names a proxy of TOCSIN_TRUSTED_PROXIES, through which callers could say who they are.",
                "Give people who administer a proxy of their own.",
            ),
        )


def _overlap(some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether an address is in both lists of networks. One that is no network is told elsewhere."""
    try:
        known = [ip_network(one) for one in others]
    except ValueError:
        return False
    return any(ip_network(one).overlaps(other) for one in some for other in known)


def _not_for_production(settings: "Settings") -> Iterator[tuple[set[str], SettingProblem]]:
    refused = {
        "demo": (settings.demo, "Demo patients are"),
        "trust_sandbox": (settings.trust_sandbox, "The sandbox's published key is"),
        "cors_origins": ("*" in settings.cors_origins, "A CORS origin of * is"),
        "public_url": ((settings.public_url or "").startswith("http:"), "A public URL without TLS is"),
    }
    for field, (used, what) in refused.items():
        if used:
            name = f"TOCSIN_{field.upper()}"
            yield (
                {"profile", field},
                SettingProblem(
                    name, f"{what} refused in production.", "Change it, or set TOCSIN_PROFILE=sandbox."
                ),
            )
