"""moto's EC2 routes, served by `EC2Responses`."""

from __future__ import annotations

from moto.ec2.urls import url_bases

from local_aws.ec2.responses import EC2Responses

__all__ = ["url_bases", "url_paths"]

url_paths = {"{0}/": EC2Responses.dispatch}
