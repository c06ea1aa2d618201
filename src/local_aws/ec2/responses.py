"""EC2's calls: corrections to how moto reads and answers them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response
from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends

from local_aws.ec2 import attributes, client_tokens, consoles, placement, prices, regions
from local_aws.ec2.lifecycle import Changed
from local_aws.faults import weather

# moto always answers RunInstances with `pending`; a repeated client token must show the present state.
_ALWAYS_PENDING = "RunInstances.Reservation.Instances.Instance.State"


class EC2Responses(EC2Response):  # type: ignore[misc]
    RESPONSE_KEY_PATH_TO_TRANSFORMER = {
        path: transform
        for path, transform in EC2Response.RESPONSE_KEY_PATH_TO_TRANSFORMER.items()
        if path != _ALWAYS_PENDING
    }

    def run_instances(self) -> Any:
        token = self._get_param("ClientToken")
        params = dict(self.params.original_dict() if hasattr(self.params, "original_dict") else self.params)
        if token and (earlier := client_tokens.earlier(self.ec2_backend, token, params)):
            return ActionResult(earlier)
        self._check_instance_profile()
        group = self._get_param("Placement.GroupName")
        if group:
            placement.check_launch(self.ec2_backend, group, self._get_param("InstanceType", "m1.small"))
        result = super().run_instances()
        for instance in result.result.instances if group else ():
            placement.put(instance, group)
        if token:
            client_tokens.remember(self.ec2_backend, token, params, result.result)
        return result

    def start_instances(self) -> Any:
        return self._change("StartingInstances", self.ec2_backend.start_instances)

    def stop_instances(self) -> Any:
        return self._change("StoppingInstances", self.ec2_backend.stop_instances)

    def terminate_instances(self) -> Any:
        return self._change("TerminatingInstances", self.ec2_backend.terminate_instances)

    def _change(self, key: str, change: Callable[[list[str]], Changed]) -> Any:
        self.error_on_dryrun()
        changed = [
            {"InstanceId": instance.id, "CurrentState": instance.instance_state, "PreviousState": previous}
            for instance, previous in change(self._get_param("InstanceIds", []))
        ]
        return ActionResult({key: changed})

    def modify_instance_attribute(self) -> Any:
        self.error_on_dryrun()
        attributes.modify(self.ec2_backend, self.params)
        return EmptyResult()

    def request_spot_instances(self) -> Any:
        """Refused: moto's spot requests are not the ones that this cloud keeps for spot instances."""
        raise NotImplementedError("use RunInstances with InstanceMarketOptions")

    def describe_spot_price_history(self) -> Any:
        self.error_on_dryrun()
        return ActionResult({"SpotPriceHistory": prices.spot_history(self.region, self.params)})

    def describe_regions(self) -> Any:
        self.error_on_dryrun()
        found = regions.described(
            self.ec2_backend.regions,
            here=self.region,
            names=self._get_param("RegionNames", []),
            every=self._get_bool_param("AllRegions", False),
        )
        return ActionResult({"Regions": found})

    def describe_snapshots(self) -> Any:
        """moto ignores OwnerIds."""
        owners = self._get_param("OwnerIds", [])
        wanted = {self.current_account if owner == "self" else owner for owner in owners}
        answer: dict[str, Any] = super().describe_snapshots().result
        return ActionResult(
            {"Snapshots": [s for s in answer["Snapshots"] if not wanted or s.owner_id in wanted]}
        )

    def create_placement_group(self) -> Any:
        self.error_on_dryrun()
        specified = self._get_param("TagSpecifications", [])
        tags = {t["Key"]: t["Value"] for one in specified for t in one.get("Tags", [])}
        name, strategy = self._get_param("GroupName"), self._get_param("Strategy", "cluster")
        made = placement.create(self.ec2_backend, name, strategy, tags)
        return ActionResult({"PlacementGroup": placement.shape(self.ec2_backend, made)})

    def describe_placement_groups(self) -> Any:
        self.error_on_dryrun()
        names, filters = self._get_param("GroupNames", []), self._get_param("Filters", [])
        return ActionResult({"PlacementGroups": placement.described(self.ec2_backend, names, filters)})

    def delete_placement_group(self) -> Any:
        self.error_on_dryrun()
        placement.delete(self.ec2_backend, self._get_param("GroupName"))
        return EmptyResult()

    def get_console_output(self) -> Any:
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        latest = self._get_bool_param("Latest", False)
        output = base64.b64encode(consoles.output(instance, latest=latest))
        return ActionResult(
            {
                "InstanceId": instance.id,
                "Timestamp": consoles.updated(instance, latest=latest),
                "Output": Base64EncodedString.from_encoded_bytes(output),
            }
        )

    def _parse_block_device_mapping(self) -> list[dict[str, Any]]:
        mappings: list[dict[str, Any]] = self._get_param("BlockDeviceMappings", [])
        return mappings  # moto drops Throughput, and sets fields that were not given

    def _get_param(self, param_name: str, if_none: Any = None) -> Any:
        # moto reads only the market type of RunInstances; the spot request needs its other options.
        if param_name == "InstanceMarketOptions.MarketType":
            options = super()._get_param("InstanceMarketOptions") or {}
            if options.get("MarketType") != "spot":
                return None
            return dict(options.get("SpotOptions") or {})
        return super()._get_param(param_name, if_none)

    def _check_instance_profile(self) -> None:
        """Raise for an instance profile that does not exist, or that is too new for EC2 to see."""
        name = self._get_param("IamInstanceProfile.Name")
        arn = self._get_param("IamInstanceProfile.Arn")
        if not (name or arn):
            return
        backend = iam_backends[self.current_account][self.partition]
        try:
            profile = backend.get_instance_profile(name) if name else backend.get_instance_profile_by_arn(arn)
        except NotFoundException:
            profile = None
        settled = weather().delay("iam")
        if profile is None or utcnow() - profile.create_date < settled:
            field, value = ("name", name) if name else ("arn", arn)
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Value ({value}) for parameter iamInstanceProfile.{field} is invalid. "
                f"Invalid IAM Instance Profile {field}",
            )
