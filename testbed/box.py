"""A box that boots on a real machine with a host key made by the test."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .cloud import Cloud, KeyFile, make_key, wait_until
from .ssh import Ssh, reach


@dataclass(frozen=True)
class Box:
    cloud: Cloud
    instance: str
    key: KeyFile
    host_key: str
    user_data: str

    def ssh(self) -> Ssh:
        """Return once it answers. Its address differs after each start."""
        ssh = reach(self.cloud, self.instance, self.key, host_key=self.host_key)
        wait_until(lambda: ssh.run("true").returncode == 0, seconds=60)
        return ssh

    def restart(self) -> Ssh:
        """Stop it, start it, and return once it answers."""
        self.cloud.ec2.stop_instances(InstanceIds=[self.instance])
        self.cloud.wait(self.instance, "stopped")
        self.cloud.ec2.start_instances(InstanceIds=[self.instance])
        self.cloud.wait(self.instance, "running")
        return self.ssh()

    def baked(self) -> Box:
        """Stop it and make an image of its disk; return another box, launched from that image."""
        self.cloud.ec2.stop_instances(InstanceIds=[self.instance])
        self.cloud.wait(self.instance, "stopped")
        image = self.cloud.ec2.create_image(InstanceId=self.instance, Name="baked")["ImageId"]
        wait_until(
            lambda: self.cloud.ec2.describe_images(ImageIds=[image])["Images"][0]["State"] == "available"
        )
        launched = self.cloud.run_like(self.instance, ImageId=image, UserData=self.user_data)
        return replace(self, instance=launched)

    def console(self) -> str:
        return str(self.cloud.ec2.get_console_output(InstanceId=self.instance).get("Output", ""))


def start_box(cloud: Cloud, key: KeyFile, *, cloud_config: str = "") -> Box:
    """Launch it. cloud_config: additional lines of user data."""
    host = make_key(key.path.parent, "host")
    private = host.path.read_text().replace("\n", "\n    ")
    user_data = (
        f"#cloud-config\nssh_deletekeys: true\nssh_keys:\n  ed25519_private: |\n    {private}\n"
        f"  ed25519_public: {host.public}\n{cloud_config}"
    )
    launched = cloud.run_with_machine(key, user_data=user_data)
    return Box(cloud, launched, key, host.public, user_data)
