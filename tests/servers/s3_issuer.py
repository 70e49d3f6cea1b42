"""A profile whose credentials come from a program, with tokens and an expiry of choice."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

__all__ = ["PROFILE", "CredentialIssuer"]

PROFILE = "issued"

_PROGRAM = """
import json, sys
from pathlib import Path

folder = Path(sys.argv[1])
number = len(list(folder.glob("token*"))) + 1
(folder / f"token{number}").touch()
print(json.dumps({
    "Version": 1,
    "AccessKeyId": f"KEY{number}",
    "SecretAccessKey": "secret",
    "SessionToken": f"token{number}",
    "Expiration": (folder / "expires").read_text(),
}))
"""


class CredentialIssuer:
    """Gives out `token1`, `token2`, and so on, to whoever uses the profile.

    Args:
        folder: An empty folder. Its file `config` is to be `AWS_CONFIG_FILE`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.config = folder / "config"
        program = folder / "issuer.py"
        program.write_text(_PROGRAM)
        process = f'"{sys.executable}" "{program}" "{folder}"'
        self.config.write_text(f"[profile {PROFILE}]\ncredential_process = {process}\n")
        self.expire_in(timedelta(hours=12))

    def expire_in(self, time: timedelta) -> None:
        """How long what it gives from now on says to be good for."""
        (self._folder / "expires").write_text((datetime.now(UTC) + time).isoformat())

    @property
    def issued(self) -> int:
        """How many tokens it has given."""
        return len(list(self._folder.glob("token*")))
