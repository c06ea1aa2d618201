"""Whether the account has enabled a region: a region that is not enabled rejects valid credentials."""

from __future__ import annotations

from gpu_box.aws.client import Cloud
from gpu_box.aws.errors import translated
from gpu_box.aws.refused_access import CREDENTIAL_CODES
from gpu_box.errors import CloudError

# A region that is always enabled, for each partition by its regions' prefix.
_ALWAYS_ON = {"us-gov-": "us-gov-west-1", "": "us-east-1"}


def not_enabled(cloud: Cloud, error: CloudError) -> CloudError | None:
    """The true reason for `error` if another region accepts these credentials, else None."""
    known = next(name for prefix, name in _ALWAYS_ON.items() if cloud.region.startswith(prefix))
    if error.code not in CREDENTIAL_CODES or known == cloud.region:
        return None
    try:
        with translated("reading your identity"):
            arn = cloud.client("sts", region=known, brisk=True).get_caller_identity()["Arn"]
    except CloudError:
        return None
    return CloudError(
        f"{cloud.region} is not enabled for your account ({arn})",
        code=error.code,
        remedy="Set `region:` in config.yaml to an enabled one, such as us-east-1, or enable it: "
        f"`aws account enable-region --region-name {cloud.region}`.",
    )
