"""Signed tokens for the benchmark, made beforehand: one for each call, by keys made for the run."""

import json
import time
import uuid
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

__all__ = ["ALGORITHMS", "Signer"]

ALGORITHMS = ("ES384", "RS384")
_ISSUER = "https://fhir.bench.example/r4"


class Signer:
    """The keys of one made-up EHR, and the client list that names it."""

    def __init__(self) -> None:
        self._keys: dict[str, ECKey | RSAKey] = {
            "ES384": ECKey.generate_key("P-384", {"kid": "ES384", "use": "sig"}),
            "RS384": RSAKey.generate_key(2048, {"kid": "RS384", "use": "sig"}),
        }

    def write_clients(self, file: Path) -> None:
        """The client list: no limit that a benchmark would meet."""
        keys = [dict(key.as_dict(private=False)) for key in self._keys.values()]
        limits = {"per_minute": 600_000, "burst": 10_000, "concurrent": 32}
        listed = {"id": "bench", "issuer": _ISSUER, "jwks": {"keys": keys}, "limits": limits}
        file.write_text(json.dumps({"clients": [listed]}), "utf-8")

    def headers(self, algorithm: str, audience: str, count: int) -> list[dict[str, str]]:
        """The headers of so many calls."""
        now = int(time.time())
        claims = {"iss": _ISSUER, "aud": audience, "iat": now, "exp": now + 300}
        header = {"alg": algorithm, "kid": algorithm, "typ": "JWT"}
        key = self._keys[algorithm]
        return [
            {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {_signed(header, claims, key, algorithm)}",
            }
            for _ in range(count)
        ]


def _signed(header: dict[str, str], claims: dict[str, object], key: ECKey | RSAKey, algorithm: str) -> str:
    return jwt.encode(header, {**claims, "jti": str(uuid.uuid4())}, key, algorithms=[algorithm])
