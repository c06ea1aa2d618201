"""AWS's API: moto's dispatcher, with the services that moto lacks."""

from __future__ import annotations

from typing import Any

from flask import Flask
from moto.core.utils import convert_to_flask_response
from moto.moto_server.werkzeug_app import BackendRequest, DomainDispatcherApplication, create_backend_app

from local_aws.services.free_tier import FreeTierResponses
from local_aws.services.pricing import PricingResponses
from local_aws.services.quotas import QuotaResponses

_NOT_SERVED = ("moto_api", "instance_metadata")  # moto's own, which need no signature
_OWN: dict[str, Any] = {
    "freetier": FreeTierResponses,
    "pricing": PricingResponses,
    "servicequotas": QuotaResponses,
}


class Unimplemented(Exception):
    """This cloud has no such service."""


class Api(DomainDispatcherApplication):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(_create_app)
        self._backends: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        if host not in self._backends:  # moto lists its own folder to find out
            self._backends[host] = self._find_backend(host)
        return self._backends[host]

    def _find_backend(self, host: str | None) -> Any:
        service = (host or "").split(".")[0]
        if service in _OWN:
            return service
        backend = super().get_backend_for_host(host)
        if backend in _NOT_SERVED or (host is not None and backend is None):
            raise Unimplemented(service)
        return backend


def _create_app(service: Any) -> Flask:
    responses = _OWN.get(service)
    if responses is None:
        app = create_backend_app(service)
    else:
        app = Flask(service)
        app.request_class = BackendRequest
        app.add_url_rule("/", view_func=convert_to_flask_response(responses.dispatch), methods=["POST"])
    # `cloud` answers errors as AWS does, not with an HTML page.
    app.config["PROPAGATE_EXCEPTIONS"] = True
    return app  # type: ignore[no-any-return]
