"""What makes thousands of laptops affordable: the SDK reads its own files, and makes its classes, once.

Each laptop has clients of its own all the same, with their own connections and their own count of retries.
"""

from __future__ import annotations

import gc
import os
from functools import cache
from typing import Any

import boto3
import botocore.client
import botocore.session
import botocore.useragent
import xmltodict
from botocore.loaders import Loader, create_loader

SERVICES = ("ec2", "iam", "scheduler", "ssm", "pricing", "service-quotas")


@cache
def warm() -> None:
    """From now on, in this process and in those that are forked from it."""
    loaders: dict[object, Loader] = {}

    def one_loader(search_path_string: str | None = None) -> Loader:
        key = tuple(_real(path) for path in (search_path_string or "").split(os.pathsep))
        if key not in loaders:
            loaders[key] = create_loader(search_path_string)
        return loaders[key]

    botocore.session.create_loader = one_loader
    classes: dict[object, Any] = {}
    made = botocore.client.ClientCreator._create_client_class

    def one_class(self: Any, service_name: str, service_model: Any) -> Any:
        # A model is a view of what the loader read once: the same for all whose loader reads the same files.
        key = _files(self, service_name)
        if key not in classes:
            classes[key] = made(self, service_name, service_model)
        return classes[key]

    botocore.client.ClientCreator._create_client_class = one_class
    read = botocore.client.ClientCreator._load_service_model

    def one_model(self: Any, service_name: str, api_version: str | None = None) -> Any:
        key = _files(self, service_name)
        if key not in models:
            models[key] = read(self, service_name, api_version)
        return models[key]

    models: dict[object, Any] = {}
    botocore.client.ClientCreator._load_service_model = one_model
    botocore.useragent.UserAgentString.to_string = cache(botocore.useragent.UserAgentString.to_string)
    xmltodict._validate_name = cache(xmltodict._validate_name)
    session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1")
    for service in SERVICES:
        session.client(service)
    # What has been read stays: a collector that looks through all of it again and again is a fifth of a walk.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def _files(creator: Any, service_name: str) -> object:
    """Where the service's description is read from: gpu-box has one of its own (aws/ec2_model)."""
    return service_name, *(_real(path) for path in creator._loader.search_paths)


_real = cache(os.path.realpath)  # asked for at each client of each laptop
