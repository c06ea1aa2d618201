"""Systems Manager: moto's, with the public parameters for the ids of this cloud's images."""

from __future__ import annotations

from typing import Any

import moto.ssm.urls
from moto.core.utils import utcnow
from moto.ssm.models import Parameter, SimpleSystemManagerBackend

from local_aws.ec2.catalogue import public_images


class PublicParameters(SimpleSystemManagerBackend):  # type: ignore[misc]
    _url_module: Any = moto.ssm.urls

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        for image in public_images():
            self._parameters[image.parameter].append(
                Parameter(
                    account_id=account_id, name=image.parameter, value=image.id(region_name),
                    parameter_type="String", description=None, allowed_pattern=None, keyid=None,
                    last_modified_date=utcnow(), version=1, data_type="aws:ec2:image",
                )
            )  # fmt: skip
