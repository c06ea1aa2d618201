"""Translates AWS's errors into ours, with remedies. No vendor exception passes this module."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from botocore import exceptions

from gpu_box.aws import clock, trust
from gpu_box.aws.refusal import Refusal
from gpu_box.aws.refusals import TABLE
from gpu_box.aws.refused_access import CLOCK_CODES
from gpu_box.errors import CloudError, CloudUnreachable, CredentialsError, InputError

_URL = re.compile(r"https?://[^\s'\"<>)]+[^\s'\"<>).,]")
_ENCODED = "Encoded authorization failure message:"
_DECODE = (
    " `aws sts decode-authorization-message --encoded-message TEXT` shows more, to users with the permission "
    "sts:DecodeAuthorizationMessage."
)
_ENDPOINT = "AWS_ENDPOINT_URL"
_NETWORK = "Check your network (and proxy) and run this again to continue."


def code_of(error: exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """doing: the action, for the error message ("launching the instance")."""
    try:
        yield
    except exceptions.ClientError as error:
        raise _from_client_error(error, doing) from error
    except exceptions.NoRegionError as error:
        raise InputError(
            "no AWS region is set",
            where="region",
            remedy="Set `region:` in config.yaml (`gpu-box init` does), or AWS_REGION.",
        ) from error
    except exceptions.ProxyConnectionError as error:
        raise _from_proxy(error, doing) from error
    except exceptions.SSLError as error:
        raise _from_tls(error, doing) from error
    except (
        exceptions.EndpointConnectionError,
        exceptions.ConnectionError,
        exceptions.HTTPClientError,
    ) as error:
        raise _from_network(error, doing) from error
    except exceptions.BotoCoreError as error:
        raise CloudError(f"AWS's SDK failed: {error}", where=doing) from error


def _from_network(error: exceptions.BotoCoreError, doing: str) -> CloudError:
    """No connection, or none that lasted."""
    reason = error.kwargs.get("error")
    if isinstance(reason, ValueError) and _proxy():
        return CloudUnreachable(
            f"{_proxy()} is no proxy's address: {reason}", where=doing, remedy="Write it as http://HOST:PORT."
        )
    address = urlsplit(str(error.kwargs.get("endpoint_url") or ""))
    host = address.netloc.rpartition("@")[2]  # without a name and a password
    names = [name for name, value in os.environ.items() if name.startswith(_ENDPOINT) and host in value]
    if not host or not names:
        return CloudUnreachable("AWS does not answer", where=doing, remedy=_NETWORK)
    return CloudUnreachable(
        f"{address.scheme}://{host} does not answer, which {names[0]} sets in AWS's place",
        where=doing,
        remedy=f"Start what answers there, or `unset {names[0]}` for AWS itself. Then run this again to "
        "continue.",
    )


def _proxy() -> str:
    """The variable that sets the proxy, or ""."""
    names = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY")
    return next((name for name in names if os.environ.get(name)), "")


def _from_proxy(error: exceptions.ProxyConnectionError, doing: str) -> CloudError:
    reason = str(error.kwargs.get("error") or error)
    name, address = _proxy() or "HTTPS_PROXY", str(error.kwargs["proxy_url"])
    remedy = f"{name} sets it: correct it, or unset it if AWS is reachable without a proxy."
    if "407" in reason:
        remedy = f"It requires a name and password: `export {name}=http://NAME:PASSWORD@HOST:PORT`."
    # The SDK writes http:// before an address of another kind.
    if other := re.match(r"http://([a-z0-9]+)://", address):
        return CloudUnreachable(
            f"{name} names a proxy of the kind {other[1]}, which AWS's SDK does not use",
            where=doing,
            remedy="Name an HTTP proxy, as http://HOST:PORT, or unset it if AWS is reachable without one.",
        )
    said = re.search(r"Tunnel connection failed: ([^'\")]+)", reason)
    what = f"refuses ({said[1]})" if said else "does not answer"
    return CloudUnreachable(f"the proxy {address} {what}", where=doing, remedy=remedy)


def _from_tls(error: exceptions.SSLError, doing: str) -> CloudError:
    reason = str(error.kwargs.get("error") or error)
    if "not yet valid" in reason or "has expired" in reason:
        return CloudUnreachable(
            "AWS's certificate is not valid at the time of this computer's clock",
            where=doing,
            remedy="Synchronize the clock: `sudo timedatectl set-ntp true`.",
        )
    variable, bundle = trust.bundle()
    if fault := trust.fault(bundle, reason):
        named = f"{variable or 'ca_bundle in ~/.aws/config'} names {bundle or 'a file'}"
        return CloudUnreachable(
            f"{named}, which {fault}",
            where=doing,
            remedy="Correct it, or unset it if no company proxy is in use.",
        )
    if "CERTIFICATE_VERIFY_FAILED" not in reason:
        return CloudUnreachable(f"no TLS connection to AWS: {reason}", where=doing, remedy=_NETWORK)
    which = f", nor by {variable} ({bundle})" if bundle else ""
    return CloudUnreachable(
        f"this computer does not trust the certificate of AWS's answer{which}: "
        "a company proxy probably intercepts TLS and uses its own",
        where=doing,
        remedy="`export AWS_CA_BUNDLE=FILE`, with your company's certificates in PEM.",
    )


def _from_client_error(error: exceptions.ClientError, doing: str) -> CloudError:
    """The matching row of the table, with AWS's own message."""
    code, operation = code_of(error), error.operation_name
    message = " ".join(str(error.response.get("Error", {}).get("Message") or "").split()).rstrip(".")
    answer = {"code": code, "message": message, "operation": operation}
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if code in CLOCK_CODES and (why := clock.off_now(headers.get("date", ""))):
        return CredentialsError(
            f"{why}, so AWS refuses what it signs: {message} ({code})",
            code=code,
            where=doing,
            remedy=f"{clock.REMEDY}, then run this again.",
        )
    row, found = next((row, found) for row in TABLE if (found := _fits(row, **answer)))
    url = _URL.search(message)
    values = {name: value or "any resource" for name, value in found.groupdict().items()}
    values |= {"operation": operation, "url": url[0] if url else ""}
    what = row.what.format(**values) + (f": {message}" if message else "")
    remedy = row.remedy.format(**values) + (_DECODE if _ENCODED in message else "")
    what += f" ({code})" if code else ""
    return row.kind(what, code=code, where=doing, remedy=remedy or None)


def _fits(row: Refusal, *, code: str, message: str, operation: str) -> re.Match[str] | None:
    if not re.fullmatch(row.codes, code) or not re.fullmatch(row.operations, operation):
        return None
    return re.search(row.words, message)
