"""Posts one notice to one webhook in the service's format, with retries."""

import json
import time
from http.client import HTTPException
from typing import Any, Callable, Dict
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

_ONE_TRY = 10.0  # s for one request
_PAUSE = 1.0  # s before the second try; doubled for each further one
_URGENT = ("stopping", "budget", "interrupted")
TITLES = {
    "stopping": "stops soon",
    "stopped": "stopped",
    "job": "job ended",
    "budget": "budget",
    "interrupted": "interrupted",
}


def deliver(
    asked: Dict[str, str], event: str, text: str, *, within: float, pause: Callable[[float], Any] = time.sleep
) -> None:
    """POST a notice; retry after no answer, 429 or 5xx for `within` seconds.

    Raises OSError if the webhook does not accept it; the message names the host, not the secret address.
    """
    end, wait = time.monotonic() + within, _PAUSE
    # A redirect would send the secret to another host.
    opener = build_opener(_NoRedirect)
    while True:
        left = max(1.0, end - time.monotonic())
        try:
            opener.open(request(asked, event, text), timeout=min(_ONE_TRY, left)).close()
            return
        except HTTPError as error:
            why, again = "HTTP %d" % error.code, error.code == 429 or error.code >= 500
            wait = max(wait, _seconds(error.headers.get("Retry-After", "")))
        except OSError as error:
            why, again = str(getattr(error, "reason", "") or error), True
        except (ValueError, HTTPException) as error:  # its own words may quote the address
            why, again = type(error).__name__, isinstance(error, HTTPException)
        if not again or time.monotonic() + wait >= end:
            raise OSError("%s does not accept the notice: %s" % (urlsplit(asked["webhook"]).hostname, why))
        pause(wait)
        wait *= 2


def request(asked: Dict[str, str], event: str, text: str) -> Request:
    """The request in the format of Slack, Discord or ntfy, or plain JSON.

    Formats: https://api.slack.com/messaging/webhooks, https://discord.com/developers/docs/resources/webhook,
    https://docs.ntfy.sh/publish/
    """
    address, box = asked["webhook"], asked.get("box") or "gpu-box"
    title = "%s: %s" % (box, TITLES.get(event, event))
    headers = {"User-Agent": "gpu-box"}
    form = asked.get("format") or format_of(address)
    if form == "ntfy":
        headers["Title"] = title
        headers["Priority"] = "high" if event in _URGENT else "default"
        return Request(address, data=text.encode(), headers=headers, method="POST")
    line = "%s: %s" % (title, text)
    body: Dict[str, Any] = {"box": box, "event": event, "title": title, "text": text, "at": int(time.time())}
    if form in ("slack", "discord"):
        body = {"text" if form == "slack" else "content": line}
    headers["Content-Type"] = "application/json"
    return Request(address, data=json.dumps(body).encode(), headers=headers, method="POST")


def format_of(address: str) -> str:
    """The format of a webhook, by its host: slack, discord, ntfy or json."""
    host = urlsplit(address).hostname or ""
    known = {"hooks.slack.com": "slack", "discord.com": "discord", "discordapp.com": "discord"}
    return known.get(host) or ("ntfy" if host.split(".")[0] == "ntfy" else "json")


def _seconds(text: str) -> float:
    return float(text) if text.strip().isdigit() else 0.0


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None
