"""A test's embedded cloud: a real daemon with a real boto3 client."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gpu_box.resources import local_policies
from local_aws import daemon

from . import control

PORT_TAG = "gpu-box:ssh-port"
QUICK = {
    "pending": 0.1,
    "stopping": 0.1,
    "shutting-down": 0.1,
    "image": 0.1,
    "iam": 0.0,
    "spot-relaunch": 0.1,
}
SPOT = {
    "MarketType": "spot",
    "SpotOptions": {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"},
}
UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"


@dataclass(frozen=True)
class KeyFile:
    path: Path
    public: str  # OpenSSH line


class Cloud:
    """A running daemon."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.exports = daemon.start_as_owner(home, local_policies())  # who may everything
        self.endpoint = self.exports["AWS_ENDPOINT_URL"]
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, service: str, region: str = "us-east-1") -> Any:
        if (service, region) not in self._clients:
            self._clients[service, region] = boto3.client(
                service,
                region_name=region,
                endpoint_url=self.endpoint,
                aws_access_key_id=self.exports["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=self.exports["AWS_SECRET_ACCESS_KEY"],
                config=Config(retries={"total_max_attempts": 1}, read_timeout=60),
            )
        return self._clients[service, region]

    @property
    def ec2(self) -> Any:
        return self.client("ec2")

    def http(self, method: str, path: str, content: Any = None) -> tuple[int, bytes]:
        """Send a request to the cloud's own API as the account's owner. Returns the parsed JSON."""
        return control.ask(self.home, method, path, content)

    def weather(self, **wanted: Any) -> dict[str, Any]:
        status, body = self.http("POST", "/embedded/weather", wanted)
        assert status == 200, body
        answer: dict[str, Any] = json.loads(body)
        return answer

    def empty(self) -> None:
        assert self.http("DELETE", "/embedded/world")[0] == 200
        self.weather(delays=QUICK)

    def ubuntu(self) -> str:
        return str(self.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"])

    def run(self, **changes: Any) -> str:
        """Launch an instance and return its id."""
        request = {"ImageId": self.ubuntu(), "InstanceType": "g4dn.xlarge", "MinCount": 1, "MaxCount": 1}
        return str(self.ec2.run_instances(**{**request, **changes})["Instances"][0]["InstanceId"])

    def run_with_machine(
        self,
        key: KeyFile,
        *,
        ssh_from: str | None = "127.0.0.1/32",
        user_data: str = "",
        market: str | None = None,
    ) -> str:
        self.ec2.import_key_pair(KeyName="key", PublicKeyMaterial=key.public.encode())
        group = self.ec2.create_security_group(GroupName="box", Description="box")["GroupId"]
        if ssh_from:
            self.admit(group, ssh_from)
        options = {"InstanceMarketOptions": SPOT} if market == "spot" else {}
        launched = self.run(KeyName="key", SecurityGroupIds=[group], UserData=user_data, **options)
        return self.wait(launched, "running")

    def run_like(self, instance: str, **options: Any) -> str:
        """Launch another instance with the same security group and key. Returns its id."""
        like = self.see(instance)
        groups = [group["GroupId"] for group in like["SecurityGroups"]]
        return self.wait(self.run(KeyName=like["KeyName"], SecurityGroupIds=groups, **options), "running")

    def admit(self, group: str, network: str) -> None:
        rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": network}]}
        self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])

    def see(self, instance_id: str) -> dict[str, Any]:
        found = self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
        return dict(found)

    def state(self, instance_id: str) -> str:
        return str(self.see(instance_id)["State"]["Name"])

    def wait(self, instance_id: str, state: str) -> str:
        wait_until(lambda: self.state(instance_id) == state)
        return instance_id

    def tag(self, instance_id: str, key: str) -> str | None:
        return next((t["Value"] for t in self.see(instance_id).get("Tags", []) if t["Key"] == key), None)

    def machine_folder(self, instance_id: str) -> Path:
        return self.home / "embedded" / "machines" / instance_id


def wait_until(true: Callable[[], bool], *, seconds: float = 60.0) -> None:
    began = time.monotonic()
    while not true():
        waited = time.monotonic() - began
        assert waited < seconds, f"the condition is not true after {seconds} s"
        time.sleep(min(0.02 + waited / 20, 0.5))  # each look costs CPU time


def make_key(folder: Path, name: str = "key") -> KeyFile:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    path = folder / name
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )
    path.chmod(0o600)
    return KeyFile(path, public.decode())
