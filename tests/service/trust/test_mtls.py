"""SEC-16: the certificate subject counts only when a trusted proxy brings it."""

import pytest

from service.errors import Unauthorised
from service.trust.mtls import CertificateHeader, normal_subject

HEADER = CertificateHeader("X-Client-DN", ["10.0.0.5", "10.1.0.0/16", "fd00::/64"])
HEADERS = [(b"host", b"x"), (b"x-client-dn", b"CN=ehr, O=St Elsewhere")]


@pytest.mark.parametrize("peer", ["10.0.0.5", "10.1.200.3", "fd00::7", "::ffff:10.0.0.5"])
def test_sec_16_a_trusted_proxy_is_believed(peer: str) -> None:
    assert HEADER.subject(HEADERS, peer) == "CN=ehr,O=St Elsewhere"
    assert HEADER.subject([], peer) == ""


@pytest.mark.parametrize("peer", ["10.0.0.6", "192.0.2.1", "fd01::7", "", "testclient", "10.1.0.0/16"])
def test_sec_16_anyone_else_is_not(peer: str) -> None:
    assert HEADER.subject(HEADERS, peer) == ""


@pytest.mark.parametrize("headers", [HEADERS * 2, [(b"x-client-dn", b"CN=" + b"a" * 1024)]])
def test_sec_16_a_header_given_twice_or_too_long_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Unauthorised) as caught:
        HEADER.subject(headers, "10.0.0.5")
    assert caught.value.reason == "certificate-malformed"


def test_a_network_that_is_none_is_said() -> None:
    with pytest.raises(ValueError, match="proxy"):
        CertificateHeader("x", ["proxy.example"])


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("CN=a,O=b", "CN=a,O=b"),
        (" cn = a ,  o=b ", "CN=a,O=b"),
        ("CN=Doe\\, Jane,O=b", "CN=Doe\\, Jane,O=b"),
        ("CN=A", "CN=A"),
        ("", ""),
    ],
)
def test_a_subject_has_one_spelling(text: str, normal: str) -> None:
    assert normal_subject(text) == normal
    assert normal_subject(normal) == normal


def test_values_are_compared_with_their_case() -> None:
    assert normal_subject("CN=a") != normal_subject("CN=A")
