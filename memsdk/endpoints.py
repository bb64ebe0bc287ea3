"""JSON over HTTP to a language model's server: with patience where that helps, and named errors where it does not."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from pydantic import JsonValue

from memsdk.errors import InvalidInputError, RewardServerError

logger = logging.getLogger(__name__)

BUSY = (429, 503)  # the server says that it will answer later
FAILED = (500, 502, 504)  # it may answer the same question the next time
MOST_WAIT_S = 60.0
MOST_BYTES = 64 * 2**20

Json = Mapping[str, JsonValue]


class NotOfferedError(RewardServerError):
    """The server answers, but not this request: it has no such path, or refuses a field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server's address and how it is spoken to. Nothing is sent anywhere else.

    Attributes:
        base: such as `http://localhost:8000`, without `/v1`.
        timeout_s: for one answer.
        attempts: how often a question is asked when the server is busy, fails, or its answer is cut short.
        pause_s: before the second attempt; doubled each time. A `retry-after` of the server's wins over it.
    """

    base: str
    api_key: str | None = None
    timeout_s: float = 60.0
    attempts: int = 4
    pause_s: float = 0.5
    sleep: Callable[[float], None] = field(default=time.sleep)

    def post(self, path: str, body: Json) -> Json:
        """The answer to a question.

        Raises:
            NotOfferedError: the server knows no such path, or refuses the request.
            RewardServerError: it can't be reached, or gave no readable answer however often it was asked.
        """
        return self._ask(Request(self.base + path, data=json.dumps(body).encode(), headers=self._headers()))  # noqa: S310 -- checked by `endpoint`

    def get(self, path: str) -> Json:
        """The same without a body."""
        return self._ask(Request(self.base + path, headers=self._headers()))  # noqa: S310 -- checked by `endpoint`

    def _headers(self) -> dict[str, str]:
        key = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        return {"Content-Type": "application/json", **key}

    def _ask(self, request: Request) -> Json:
        pause = self.pause_s
        trouble = "it was not asked"
        for attempt in range(self.attempts):
            wait = pause
            try:
                return _read(request, timeout_s=self.timeout_s)
            except HTTPError as error:
                trouble = f"it answered {error.code}: {_excerpt(error)}"
                if error.code not in (*BUSY, *FAILED):
                    raise NotOfferedError(f"{request.full_url} refused: {trouble}") from error
                wait = _retry_after(error) or pause
            except (URLError, HTTPException, OSError) as error:
                reason = getattr(error, "reason", None) or error
                slow = isinstance(error, TimeoutError) or isinstance(reason, TimeoutError)
                trouble = (
                    f"no answer within {self.timeout_s:g} s" if slow else f"{reason or type(error).__name__}"
                )
            except ValueError as error:
                trouble = f"its answer is not whole JSON ({error})"
            if attempt + 1 < self.attempts:
                logger.info("%s: %s; asking again in %.1f s", request.full_url, trouble, wait)
                self.sleep(min(wait, MOST_WAIT_S))
                pause *= 2
        raise RewardServerError(
            f"{request.full_url} failed {self.attempts} times, at last: {trouble}; see that the server runs, or give it"
            " more time with a larger timeout"
        )


def endpoint(url: str, *, api_key: str | None, timeout_s: float) -> Endpoint:
    """The endpoint at an address, with or without `/v1` at its end. Raises InvalidInputError."""
    if not url.startswith(("http://", "https://")) or not url.partition("://")[2].strip("/"):
        raise InvalidInputError(f"{url!r:.100} is no http(s) address such as http://localhost:8000")
    if timeout_s <= 0:
        raise InvalidInputError(f"timeout_s is {timeout_s}, expected a number of seconds above 0")
    base = url.rstrip("/").removesuffix("/v1")
    return Endpoint(base=base, api_key=api_key, timeout_s=timeout_s)


def _read(request: Request, *, timeout_s: float) -> Json:
    with urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 -- checked by `endpoint`
        raw = answer.read(MOST_BYTES)
    plain = json.loads(raw)
    if not isinstance(plain, dict):
        raise ValueError(f"{type(plain).__name__} where an object was expected")  # noqa: TRY004 -- as other unreadable answers
    return plain


def _excerpt(error: HTTPError) -> str:
    try:
        said = error.read(2_000).decode(errors="replace")
    except OSError:
        said = ""
    return " ".join(said.split())[:200] or str(error.reason)


def _retry_after(error: HTTPError) -> float | None:
    """Seconds, from either form of the header; None where there is none that can be read."""
    given = error.headers.get("retry-after") if error.headers else None
    if not given:
        return None
    try:
        return max(0.0, float(given))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(given).timestamp() - time.time())
    except ValueError:
        return None
