"""Keys and signatures: made here, checked here and by openssl."""

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rules.engine import ArchiveError
from service.signing import key_id, make_keys, read_private, read_public, sign, signer

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()
MESSAGE = b"a manifest"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    private, public = make_keys()
    (tmp_path / "key").write_bytes(private)
    (tmp_path / "pem").write_bytes(public)
    return tmp_path / "key", tmp_path / "pem"


def test_a_signature_names_the_key_that_made_it(pair: tuple[Path, Path], tmp_path: Path) -> None:
    private, public = read_private(pair[0]), read_public(pair[1])
    (tmp_path / "other").write_bytes(make_keys()[1])
    other = read_public(tmp_path / "other")
    signature = sign(private, MESSAGE)
    assert len(signature) == 64
    assert signer([other, public], MESSAGE, signature) == key_id(public)
    assert signer([other], MESSAGE, signature) == ""
    assert signer([public], MESSAGE + b".", signature) == ""
    assert signer([public], MESSAGE, signature[:-1]) == ""
    assert signer([], MESSAGE, signature) == ""


def test_openssl_agrees(pair: tuple[Path, Path], tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl, which is not here")
    (tmp_path / "m").write_bytes(MESSAGE)
    (tmp_path / "s").write_bytes(sign(read_private(pair[0]), MESSAGE))
    command = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", str(pair[1]), "-rawin"]
    done = subprocess.run(
        [*command, "-in", str(tmp_path / "m"), "-sigfile", str(tmp_path / "s")], capture_output=True
    )
    assert done.returncode == 0, done.stderr


def pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(PEM, PKCS8, PLAIN)


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


CURVE = ec.generate_private_key(ec.SECP256R1())
LOCKED = Ed25519PrivateKey.generate().private_bytes(
    PEM, PKCS8, serialization.BestAvailableEncryption(b"secret")
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no private key in PEM"),
        (b"-----BEGIN PRIVATE KEY-----\nxyzzy\n-----END PRIVATE KEY-----\n", "is no private key in PEM"),
        (make_keys()[1], "is no private key in PEM"),
        (pem(CURVE), "is no Ed25519 key"),
        (LOCKED, "has a passphrase"),
    ],
)
def test_a_private_key_that_cannot_be_used(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "our.key").write_bytes(content)
    with pytest.raises(ArchiveError) as caught:
        read_private(tmp_path / "our.key")
    assert caught.value.code == "bundle-key-invalid"
    assert caught.value.message == f"our.key {said}."
    assert "xyzzy" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no public key in PEM"),
        (make_keys()[0], "is a private key"),
        (public_pem(CURVE), "is no Ed25519 key"),
    ],
)
def test_a_public_key_that_cannot_be_used(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "our.pem").write_bytes(content)
    with pytest.raises(ArchiveError, match=f"bundle-key-invalid: our.pem {said}"):
        read_public(tmp_path / "our.pem")


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    for read in (read_private, read_public):
        with pytest.raises(ArchiveError, match="bundle-key-invalid: none does not exist"):
            read(tmp_path / "none")


def test_a_key_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ArchiveError, match=r"folder cannot be read\. Let the user of the process read it"):
        read_public(tmp_path / "folder")
