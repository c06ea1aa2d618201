"""The WSGI application: it answers one AWS call at a time and wakes the reconciler.

GET    /checkip            the caller's address, as checkip.amazonaws.com gives it; needs no signature
GET    /embedded/status    boxes, machines, uptime
DELETE /embedded/world     everything in the cloud, and its weather
GET, POST, DELETE /embedded/weather     see local_aws.faults
POST   /embedded/interrupt {"instance": "i-..."}: AWS sends the spot instance an interruption notice
POST   /embedded/network   {"instance": "i-...", "cut": true}: cut its network, or restore it
anything else              AWS's API

AWS's calls are signed with keys of this cloud; those below /embedded/ with the account owner's key. moto's
own API (/moto-api) is not served.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from http.client import responses
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends

from local_aws.api import authentication, incoming, signature
from local_aws.api.calls import Call, as_wsgi, form, identify
from local_aws.api.dispatch import Api, Unimplemented
from local_aws.api.errors import error_answer
from local_aws.api.signature import Incomplete, Request
from local_aws.credentials import Account
from local_aws.ec2 import interruption, regions, visibility
from local_aws.ec2.request_rates import STATUS, RequestRates
from local_aws.faults import Weather, set_weather, weather
from local_aws.iam.authorization import Operator, refusal
from local_aws.parameters import validation
from local_aws.state import State
from local_aws.world import World

_log = logging.getLogger(__name__)
Answer = tuple[str, list[tuple[str, str]], bytes]


class Cloud:
    """world: every resource; state: where it is saved; account: its access keys; policy: the operator's IAM
    policy; changed: called after anything may have changed.
    """

    def __init__(
        self,
        world: World,
        state: State,
        account: Account,
        policy: dict[str, Any],
        *,
        changed: Callable[[], None],
    ) -> None:
        self._account = account
        self._operator = Operator(account.operator.key_id, policy)
        self.last_call = time.monotonic()
        self._started = time.monotonic()
        self._world = world
        self._state = state
        self._changed = changed
        self._api = Api()
        self._rates = RequestRates()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            # Before any lock is taken: a client may be slow.
            answer = self._answer(environ, incoming.read(environ))
        except incoming.Rejected as rejected:
            answer = _text(f"{rejected}\n", status=rejected.status)
        status, headers, body = answer
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return [body]

    def _answer(self, environ: dict[str, Any], request: Request) -> Answer:
        path = environ.get("PATH_INFO", "/")
        if path == "/checkip":
            return _text(f"{environ['REMOTE_ADDR']}\n")
        try:
            signed = signature.read(request)
        except Incomplete as error:
            return _error("sts", *authentication.incomplete("sts", str(error)))
        if path.startswith("/embedded/"):
            if not authentication.is_owner(request, signed, self._account.owner):
                return _json({"error": "the request must be signed by the account's owner"}, status=403)
            return self._own(request.method, path, request.body)
        if signed is None:
            return _error(_shape(request), *authentication.unsigned(request))
        with self._world.lock:
            if refused := authentication.unproven(request, signed, self._account):
                return _error(signed.service.lower(), *refused)
        self.last_call = time.monotonic()
        call = identify(request, signed, path)
        return self._aws(call, {**environ, **as_wsgi(request, signed)})

    def _aws(self, call: Call, environ: dict[str, Any]) -> Answer:
        if not regions.accepts(call.region):
            return _error(call.service, *authentication.stranger(call.service))
        # moto's backends are plain dictionaries, and a repeated client token must find what the first call
        # made.
        with self._world.lock:
            limited = weather().request_rates and call.service == "ec2"
            if limited and (why := self._rates.refusal(call, DEFAULT_ACCOUNT_ID)):
                return _error(call.service, *why, STATUS)
            fault = weather().strike(call.service, call.operation)
            if fault is not None and fault.when == "before":
                return _strike(call, fault)
            self._world.settle()
            if why := refusal(call, self._operator):
                return _error(call.service, *why, 403)
            if why := validation.refusal(call):
                return _error(call.service, *why, 400)
            answer = self._ec2(call, environ) if call.service == "ec2" else self._execute(call, environ)
            if call.changes:
                self._state.save()
                self._changed()
            if fault is not None:
                return _strike(call, fault)
        return answer

    def _ec2(self, call: Call, environ: dict[str, Any]) -> Answer:
        """Run an EC2 call on what EC2 shows by now (see `visibility`)."""
        backend = ec2_backends[DEFAULT_ACCOUNT_ID][call.region]
        tagged = [value for name, value in form(call.body).items() if name.startswith("ResourceId.")]
        if why := visibility.refusal(backend, call.operation, tagged):
            return _error(call.service, *why, 400)
        with visibility.as_seen(backend, call.operation):
            return self._execute(call, environ)

    def _execute(self, call: Call, environ: dict[str, Any]) -> Answer:
        started: list[Any] = []

        def tell(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], None]:
            started[:] = [status, headers]
            return started.append

        try:
            body = b"".join(self._api(environ, tell))
        except (NotImplementedError, Unimplemented) as error:
            code = "InvalidAction" if call.service in ("ec2", "iam", "sts") else "UnknownOperationException"
            what = f"{call.service}:{call.operation}" if call.operation else call.service
            return _error(call.service, code, f"the embedded cloud does not implement {what} ({error})", 400)
        except Exception as error:
            _log.exception("%s:%s", call.service, call.operation)
            return _error(call.service, "InternalError", f"the embedded cloud failed: {error!r}", 500)
        headers = [(k, v) for k, v in started[1] if k.lower() != "content-length"]
        return started[0], headers, body

    def _own(self, method: str, path: str, sent: bytes) -> Answer:
        with self._world.lock:
            if (method, path) == ("GET", "/embedded/status"):
                return _json(self._status())
            self.last_call = time.monotonic()
            try:
                given = json.loads(sent or b"{}")
                if path == "/embedded/weather" and method in ("GET", "POST", "DELETE"):
                    if method == "DELETE":
                        set_weather(Weather())
                    weather().change(given)
                    return _json(weather().as_dict())
                if (method, path) == ("DELETE", "/embedded/world"):
                    self._world.empty()
                    set_weather(Weather())
                    return _json({})
                if (method, path) == ("POST", "/embedded/interrupt"):
                    instance = self._world.instance(given["instance"])
                    interruption.give_notice(instance.ec2_backend, instance)
                    return _json({})
                if (method, path) == ("POST", "/embedded/network"):
                    self._world.cut_network(given["instance"], bool(given["cut"]))
                    return _json({})
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                return _json({"error": str(error)}, status=400)
            finally:
                if method != "GET":
                    self._state.save()
                    self._changed()
        return _json({"error": f"no {method} {path}"}, status=404)

    def _status(self) -> dict[str, Any]:
        return {
            "boxes": self._world.boxes(),
            "machines": self._world.machines_up(),
            "uptime_s": round(time.monotonic() - self._started, 1),
        }


def _strike(call: Call, fault: Any) -> Answer:
    if fault.code is None:
        # The server closes the connection on this exception without sending a byte.
        raise ConnectionAbortedError("cut by the weather")
    return _error(call.service, fault.code, fault.message, fault.status)


def _shape(request: Request) -> str:
    """The service whose error format suits an unsigned request."""
    form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return "sts" if form or "Action=" in request.target else ""


def _error(service: str, code: str, message: str, status: int) -> Answer:
    headers, body = error_answer(service, code, message)
    return _line(status), list(headers.items()), body


def _json(content: dict[str, Any], *, status: int = 200) -> Answer:
    return _line(status), [("Content-Type", "application/json")], json.dumps(content).encode()


def _text(content: str, *, status: int = 200) -> Answer:
    return _line(status), [("Content-Type", "text/plain")], content.encode()


def _line(status: int) -> str:
    return f"{status} {responses.get(status, 'Error')}"
