"""Settings that do not go together: who administers, and through which proxy."""

from typing import Any

import pytest

from service.cautions import conflicts
from service.settings import Settings

WHOLE: dict[str, Any] = {
    "auth": False,
    "admin_header": "X-Forwarded-Email",
    "admin_proxies": ("10.0.0.7",),
    "admin_users": ("j.smith@example.org",),
}


def problems(**settings: Any) -> list[str]:
    return [problem.name for _, problem in conflicts(Settings(**settings))]


def test_who_administers_is_whole_with_people_or_with_groups() -> None:
    assert problems(**WHOLE) == []
    assert problems(**{**WHOLE, "admin_users": (), "admin_groups": ("admins",)}) == []


@pytest.mark.parametrize("left_out", ["admin_header", "admin_proxies", "admin_users"])
def test_who_administers_must_not_lack_a_part(left_out: str) -> None:
    kept = {name: value for name, value in WHOLE.items() if name != left_out}
    assert problems(**kept) == ["TOCSIN_ADMIN_HEADER"]


@pytest.mark.parametrize(
    ("ehr_proxies", "expected"),
    [
        (("10.0.0.7",), ["TOCSIN_ADMIN_PROXIES"]),
        (("192.0.2.1", "10.0.0.0/24"), ["TOCSIN_ADMIN_PROXIES"]),
        (("10.0.0.8", "2001:db8::/32"), []),
        # The gate refuses what is no network.
        (("10.0.0.7/8",), []),
    ],
)
def test_callers_and_administrators_come_through_different_proxies(
    ehr_proxies: tuple[str, ...], expected: list[str]
) -> None:
    """The EHRs' proxy passes on whatever header a caller makes up."""
    assert problems(**WHOLE, mtls_header="X-Client-Subject", trusted_proxies=ehr_proxies) == expected


@pytest.mark.parametrize("address", ["proxy.example.org", "10.0.0.7/8", "10.0.0.0/33"])
def test_a_proxy_is_named_by_its_address(address: str) -> None:
    with pytest.raises(ValueError, match="not a list of addresses and networks"):
        Settings(**{**WHOLE, "admin_proxies": (address,)})
