"""Resumable uploads: a large file in chunks, each sent again from where it broke off.

The SDK's own resend a chunk only from its beginning, and give up where the service kept
a part of it. https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

from __future__ import annotations

import base64
import re
from typing import Any, Final

import google_crc32c
from google.api_core.exceptions import from_http_response
from google.auth.transport.requests import AuthorizedSession

from devqubit.errors import BackendError, UnreachableError

__all__ = ["ResumableUpload"]

_INCOMPLETE: Final = 308


class ResumableUpload:
    """An upload under way.

    Args:
        session: What to send with.
        url: The upload's own address, a secret.
        size: Bytes of the whole.
        timeout: Seconds to connect and to wait for an answer, as requests takes them.
    """

    def __init__(
        self, session: AuthorizedSession, url: str, size: int, timeout: tuple[float, float]
    ) -> None:
        self._session = session
        self._url = url
        self._size = size
        self._timeout = timeout
        self._checksum = 0
        self._taken = 0

    def take(self, chunk: bytes) -> None:
        """Takes the next chunk to send; all but the last are multiples of 256 KiB."""
        self._checksum = google_crc32c.extend(self._checksum, chunk)
        self._chunk, self._start = chunk, self._taken
        self._taken += len(chunk)

    def send(self, attempt: int) -> Any:
        """Sends the chunk, or what is missing of it.

        Args:
            attempt: From 1; before any further one, the service is asked what it has.

        Returns:
            The object's description once it is whole, None before.

        Raises:
            UnreachableError: The service kept only a part.
        """
        done, kept = None, self._start
        if attempt > 1:
            done, kept = self._put(f"bytes */{self._size}", b"")
            if kept < self._start:
                raise BackendError("the service lost the beginning of an upload")
        if kept < self._taken:
            span = f"bytes {kept}-{self._taken - 1}/{self._size}"
            done, kept = self._put(span, self._chunk[kept - self._start :])
        if kept < self._taken or (done is None and kept == self._size):
            raise UnreachableError("the service kept only a part of a chunk")
        return done

    def _put(self, content_range: str, data: bytes) -> tuple[Any, int]:
        headers = {"Content-Range": content_range}
        if self._taken == self._size:
            # Of all bytes: the service compares, and stores nothing if it differs.
            checksum = base64.b64encode(self._checksum.to_bytes(4, "big")).decode()
            headers["X-Goog-Hash"] = f"crc32c={checksum}"
        answer = self._session.put(self._url, data, headers=headers, timeout=self._timeout)
        if answer.status_code == _INCOMPLETE:
            kept = re.fullmatch(r"bytes=0-(\d+)", answer.headers.get("Range", ""))
            return None, int(kept[1]) + 1 if kept else 0
        if not answer.ok:
            raise from_http_response(answer)
        return answer.json(), self._size
