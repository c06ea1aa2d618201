"""One fault at one AWS call of a laptop, made where botocore sends: the code above it is the real one."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from testbed.inside import Body

from gpu_box.aws.client import Cloud
from local_aws.api.errors import error_answer

Place = tuple[str, int]
"""An API call of a run: the operation, and which of its calls (from 1)."""
Sent = tuple[str, str, dict[str, Any]]
"""A service and an operation as the SDK calls them, and the parameters that it was given."""


_READS = ("Describe", "Get", "List")


@dataclass(frozen=True)
class Called:
    """A call as a command made it."""

    place: Place
    parameters: str = ""

    @property
    def operation(self) -> str:
        return self.place[0]

    @property
    def reads(self) -> bool:
        """It changes nothing in AWS."""
        return self.operation.startswith(_READS)


class Killed(BaseException):
    """As `kill -9`: no code of ours may catch it, and nothing is sent any more."""


@dataclass(frozen=True)
class Fault:
    name: str
    codes: tuple[str, str, str] | None = None  # the error of EC2, of IAM, of a JSON service
    status: int = 400
    attempts: int = 0  # how many attempts of the call it hits; 0: all
    later: str = "none"  # which later calls it hits too: none, same (operation), all
    takes_effect: bool = False  # the request arrives; its answer does not
    kills: bool = False


_THROTTLED = ("RequestLimitExceeded", "Throttling", "ThrottlingException")
_DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")
_EXPIRED = ("RequestExpired", "ExpiredToken", "ExpiredTokenException")
_BROKEN = ("InternalError", "ServiceFailure", "InternalServerException")
FAULTS = {
    fault.name: fault
    for fault in (
        Fault("throttled once", _THROTTLED, 503, attempts=1),
        Fault("throttled for good", _THROTTLED, 503, later="same"),
        Fault("500", _BROKEN, 500, later="same"),
        Fault("connection refused", later="all"),
        Fault("answer lost", attempts=1, takes_effect=True),
        Fault("answer lost for good", takes_effect=True, later="all"),
        Fault("killed before", kills=True),
        Fault("killed after", kills=True, takes_effect=True),
        Fault("credentials expired", _EXPIRED, 400, later="all"),
        Fault("access denied", _DENIED, 403, later="same"),
    )
}


@dataclass
class Saboteur:
    """Counts a laptop's calls, and strikes at one of them. `struck`: whether it came to that."""

    at: Place | None = None
    fault: Fault | None = None
    really: bool = False  # kill this very process
    answer: Callable[[AWSPreparedRequest], AWSResponse] | None = None  # in place of the wire
    services: frozenset[str] = frozenset()  # hit every call of these, in place of the one call at `at`
    struck: bool = False
    calls: list[Called] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    answers: list[Sent] = field(default_factory=list)  # as the SDK parsed them
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _seen: Counter[str] = field(default_factory=Counter)
    _now: threading.local = field(default_factory=threading.local)
    _dead: bool = False

    def follow(self, cloud: Cloud) -> None:
        """Before the first client is made: clients copy the session's events."""
        events = cloud._clients.session.events
        events.register_first("before-parameter-build.*.*", self._note)
        events.register_first("after-call.*.*", self._note_answer)
        events.register_first("before-call.*.*", self._begin)
        events.register_first("before-send.*.*", self._send)

    def _note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.sent.append((model.service_model.service_name, model.name, deepcopy(params)))
        self._now.parameters = repr(params)

    def _note_answer(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        if "Error" not in parsed:
            self.answers.append((model.service_model.service_name, model.name, parsed))

    def _begin(self, model: Any, **_: Any) -> None:
        with self._lock:
            self._seen[model.name] += 1
            place = (model.name, self._seen[model.name])
            self.calls.append(Called(place, self._now.parameters))
        self._now.place, self._now.attempt = place, 0

    def _send(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        service = event_name.split(".")[1]
        place: Place = self._now.place
        self._now.attempt += 1
        if self._dead:
            raise Killed
        if service in self.services:
            self.struck = True
            return self._strike(service, request)
        if not self._hits(place, self._now.attempt):
            return self.answer(request) if self.answer else None
        return self._strike(service, request)

    def _hits(self, place: Place, attempt: int) -> bool:
        if self.fault is None or self.at is None:
            return False
        if place == self.at:
            self.struck = True
            return not self.fault.attempts or attempt <= self.fault.attempts
        if not self.struck or self.fault.later == "none":
            return False
        return self.fault.later == "all" or place[0] == self.at[0]

    def _strike(self, service: str, request: Any) -> AWSResponse:
        fault = self.fault
        assert fault is not None
        if fault.takes_effect and self._now.place == self.at and self._now.attempt == 1:
            (self.answer or _deliver)(request)
        if fault.kills:
            if self.really:
                os.kill(os.getpid(), signal.SIGKILL)
            self._dead = True
            raise Killed
        if fault.codes is None:
            if fault.takes_effect and self._now.attempt == 1:
                raise ReadTimeoutError(endpoint_url=request.url)
            raise EndpointConnectionError(endpoint_url=request.url)
        code = fault.codes[0 if service == "ec2" else 1 if service in ("iam", "sts") else 2]
        headers, body = error_answer(service, code, f"made by a test ({code})")
        return AWSResponse(request.url, fault.status, headers, Body(body))


def _deliver(request: Any) -> object:
    """Send the request and drop the answer."""
    import urllib3

    return urllib3.PoolManager(retries=False).request(
        request.method, request.url, body=request.body, headers=dict(request.headers), timeout=60
    )
