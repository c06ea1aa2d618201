"""`install` replaces parts of moto with classes that behave as AWS does.

`ec2.models` is the EC2 backend, moto's with overrides that delegate to `launch`, `lifecycle`, `disks`,
`capacity`, `spot`, `images` and `groups`; `responses` corrects how its calls are read and answered.
`scheduler` and `services` are the other services; `iam.needs` and `iam.policies` say what a
user may do. `faults` holds what tests can set: capacity, quotas, delays, failures.

Every class here derives from moto's, which have no types: hence `type: ignore[misc]` on their first lines.
"""

from __future__ import annotations


def install() -> None:
    """Call it once per process, before the first request."""
    from functools import cache

    import moto.core.responses
    import moto.ec2.utils
    from moto.ec2.models import ec2_backends
    from moto.ec2.models import elastic_network_interfaces as interfaces
    from moto.iam.models import iam_backends
    from moto.scheduler.models import scheduler_backends
    from moto.ssm.models import ssm_backends

    from local_aws.ec2 import catalogue
    from local_aws.ec2.addresses import free_public_address
    from local_aws.ec2.models import EC2
    from local_aws.iam.models import IAM
    from local_aws.scheduler.models import Scheduler
    from local_aws.services.parameters import PublicParameters

    catalogue.offer_in_govcloud()
    ec2_backends.backend = EC2
    iam_backends.backend = IAM
    scheduler_backends.backend = Scheduler
    ssm_backends.backend = PublicParameters
    interfaces.random_public_ip = free_public_address
    # Cached: it is computed at each call and takes a third of the call's time.
    moto.core.responses.method_names_from_class = cache(moto.core.responses.method_names_from_class)
    moto.ec2.utils.filter_dict_attribute_mapping.update(
        {"client-token": "client_token", "instance-lifecycle": "lifecycle"}
    )
