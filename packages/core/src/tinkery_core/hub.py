"""The Hugging Face hub where there is no way to it: its client would retry for minutes before it looks in its cache."""

from __future__ import annotations

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tinkery_core.watch import in_daemon_thread


@contextmanager
def cache_only_if_unreachable() -> Generator[str | None]:
    """Inside, the hub's client asks its cache alone if the hub does not answer; yields the reason, or None.

    It has HF_HUB_ETAG_TIMEOUT seconds to answer, as the client itself gives it for a question of this size.
    """
    from huggingface_hub import constants

    settings = constants.__dict__  # read by the client at each request
    was_offline: bool = settings["HF_HUB_OFFLINE"]
    reason = None if was_offline else why_unreachable(constants.ENDPOINT, constants.HF_HUB_ETAG_TIMEOUT)
    settings["HF_HUB_OFFLINE"] = was_offline or reason is not None
    try:
        yield reason
    finally:
        settings["HF_HUB_OFFLINE"] = was_offline


def why_unreachable(url: str, timeout_s: float) -> str | None:
    """What stands between here and the server at this URL; None if it answers, whatever it says."""
    answer = in_daemon_thread(lambda: _ask(url, timeout_s))
    try:
        return answer.result(timeout_s)  # looking up a name has no bound of its own
    except TimeoutError:
        return f"no answer for {timeout_s:g} s"


def _ask(url: str, timeout_s: float) -> str | None:
    try:
        with urlopen(Request(url, method="HEAD"), timeout=timeout_s):
            return None
    except (HTTPError, HTTPException, ssl.SSLError):
        return None
    except OSError as error:
        reason: object = getattr(error, "reason", error)  # what urllib has wrapped
        return None if isinstance(reason, ssl.SSLError) else str(reason)
