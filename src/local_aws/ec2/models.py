"""The EC2 backend: moto's, with AWS's semantics where moto's differ.

Its name must be `models`, beside a `urls`: moto derives a backend's routes from the module of its class.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.tags import TagBackend
from moto.ec2.utils import convert_tag_spec

from local_aws.ec2 import (
    capacity,
    catalogue,
    consoles,
    disks,
    groups,
    images,
    interruption,
    launch,
    lifecycle,
    routes,
    spot,
    spot_follow,
)
from local_aws.ec2.client_tokens import Launch
from local_aws.ec2.lifecycle import Changed

_EBS_KEY_ID = "0eb50eb5-0eb5-40eb-80eb-0eb50eb50eb5"


class EC2(EC2Backend):  # type: ignore[misc]
    def __init__(self, region_name: str, account_id: str) -> None:
        self.launches: dict[str, Launch] = {}  # by client token and zone
        super().__init__(region_name, account_id)

    # ---- launching

    def run_instances(
        self, image_id: str, count: int, user_data: Any, security_group_names: list[str], **kwargs: Any
    ) -> Any:
        kwargs.setdefault("instance_type", "m1.small")
        given = launch.plain(kwargs) | {
            "image_id": image_id, "count": 1, "user_data": user_data,
            "security_group_names": security_group_names,
        }  # fmt: skip
        order = launch.check(self, image_id, count, security_group_names, kwargs)
        tags = kwargs.get("tags", {})
        kwargs["block_device_mappings"] = []  # `finish` makes the volumes
        kwargs["is_instance_type_default"] = False
        kwargs.pop("instance_market_options", None)
        request = kwargs.pop("spot_request", None)  # an open request, filled again
        if not kwargs.get("subnet_id") and not kwargs.get("nics"):
            kwargs["placement"] = order.zone
            kwargs["security_group_ids"] = order.groups
            security_group_names = []
        reservation = super().run_instances(image_id, count, user_data, security_group_names, **kwargs)
        launch.finish(self, reservation, order, tags)
        if request is not None:
            request.fulfil(reservation.instances[0])
        elif order.spot_options is not None:
            for instance in reservation.instances:
                asked = tags.get("spot-instances-request", {})
                spot.make_request(self, instance, order.spot_options, given, asked)
        return reservation

    def modify_volume(
        self,
        volume_id: str,
        target_size: int | None = None,
        target_volume_type: str | None = None,
        target_iops: int | None = None,
        target_throughput: int | None = None,
        target_multi_attach_enabled: bool | None = None,
    ) -> Any:
        asked = (target_size, target_volume_type, target_iops, target_throughput)
        disks.check_modify(self.get_volume(volume_id), *asked)
        volume = super().modify_volume(volume_id, *asked, target_multi_attach_enabled)
        volume.modifications[-1].__class__ = disks.Modification
        return volume

    def describe_volumes_modifications(self, volume_ids: Any = None, filters: Any = None) -> list[Any]:
        """The most recent one of each volume (EC2 API Reference)."""
        found = super().describe_volumes_modifications(volume_ids, filters)
        return list({modification.volume_id: modification for modification in found}.values())

    def describe_subnets(self, subnet_ids: Any = None, filters: Any = None) -> list[Any]:
        """moto's error for an id that does not exist may name one that does."""
        for subnet_id in subnet_ids or ():
            self.get_subnet(subnet_id)
        return list(super().describe_subnets(subnet_ids, filters))

    def create_default_vpc(self) -> Any:
        vpc = super().create_default_vpc()
        routes.open_to_internet(self, vpc)
        return vpc

    def create_route(self, *where: Any, **target: Any) -> Any:
        route = super().create_route(*where, **target)
        route.__class__ = routes.Route
        return route

    def describe_tags(self, filters: dict[str, list[str]] | None = None) -> list[dict[str, str]]:
        """As moto's, without its look at the tags of all resources for each resource of an answer."""
        ids = (filters or {}).get("resource-id", [])
        if not ids or any("*" in id_ or "?" in id_ for id_ in ids):
            return list(super().describe_tags(filters))
        few = TagBackend()
        few.tags.update((id_, self.tags[id_]) for id_ in ids if id_ in self.tags)
        return list(few.describe_tags(filters))

    # ---- the states of an instance

    def all_instances(self, filters: Any = None) -> list[Any]:
        """As moto's, without its copy of each reservation: `settle` looks several times at each call."""
        reservations = list(self.reservations.values())
        return [one for each in reservations for one in each.instances if one.applies(filters)]

    def start_instances(self, instance_ids: list[str]) -> Changed:
        return lifecycle.start(self, self._instances(instance_ids), self._check_start)

    def stop_instances(self, instance_ids: list[str]) -> Changed:
        return lifecycle.stop(self, self._instances(instance_ids))

    def terminate_instances(self, instance_ids: list[str]) -> Changed:
        return lifecycle.terminate(self, self._instances(instance_ids))

    def reboot_instances(self, instance_ids: list[str]) -> list[Any]:
        instances = self._instances(instance_ids)
        lifecycle.reboot(instances)
        return instances

    def settle(self, is_held: Any) -> bool:
        """Do everything that is due. Returns whether anything changed."""
        return any(
            [
                lifecycle.settle(self, is_held),
                interruption.settle(self),
                spot_follow.settle(self),
                spot.relaunch_due(self),
                images.settle(self),
                consoles.settle(self),
            ]
        )

    def next_due(self) -> list[datetime]:
        return [
            *lifecycle.next_due(self),
            *interruption.next_due(self),
            *spot_follow.next_due(self),
            *spot.next_due(self),
            *images.next_due(self),
            *consoles.next_due(self),
        ]

    def _instances(self, instance_ids: list[str]) -> list[Any]:
        if not instance_ids:
            raise EC2ClientError("InvalidParameterCombination", "No instances specified")
        return list(self.get_multi_instances_by_id(list(dict.fromkeys(instance_ids))))

    def _check_start(self, instance: Any) -> None:
        zone = instance.placement.zone
        offered = catalogue.zones_offering(self.region_name, instance.instance_type)
        if zone not in offered:
            raise EC2ClientError(
                "Unsupported",
                f"Your requested instance type ({instance.instance_type}) is not supported in your requested "
                f"Availability Zone ({zone}).",
            )
        is_spot = instance.lifecycle == "spot"
        if not is_spot:  # a stopped spot instance already counts against its quota
            capacity.check_quota(self, instance.instance_type, 1, spot=False)
        capacity.check_capacity(self, instance.instance_type, zone, 1, spot=is_spot, other_zones=offered)

    # ---- resources of instances

    def cancel_spot_instance_requests(self, request_ids: list[str]) -> list[Any]:
        return spot.cancel(self, request_ids, lifecycle.end_with_request)

    def create_security_group(self, name: str, description: str, *args: Any, **options: Any) -> Any:
        vpc_id = options.get("vpc_id") or (args[0] if args else None) or self.default_vpc.id
        if not options.get("force"):
            groups.check_name(self, name, vpc_id)
        return super().create_security_group(name, description, *args, **options)

    def _delete_security_group(self, vpc_id: str | None, group_id: str) -> None:
        groups.check_delete(self, self.get_security_group_from_id(group_id))
        super()._delete_security_group(vpc_id, group_id)

    def _create_default_encryption_key(self) -> str:
        """The account's key `aws/ebs`. Moto would make a real RSA key, which cannot be pickled."""
        self.default_kms_key_id = (
            f"arn:{self.partition}:kms:{self.region_name}:{self.account_id}:key/{_EBS_KEY_ID}"
        )
        return self.default_kms_key_id

    def _load_amis(self) -> None:
        images.load_public(self)

    def create_image(
        self, instance_id: str, name: str, description: str, tag_specifications: list[dict[str, Any]]
    ) -> Any:
        return images.create(self, instance_id, name, description, convert_tag_spec(tag_specifications))
