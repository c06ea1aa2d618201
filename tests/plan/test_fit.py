"""Impossible configs are refused before anything is created: which images run on which instance types."""

from __future__ import annotations

from typing import Any

import pytest

from gpu_box.aws.instance_types import parse_hardware
from gpu_box.errors import InputError
from gpu_box.plan.fit import refuse_unfit


def answer(name: str, architecture: str = "x86_64", **info: Any) -> dict[str, Any]:
    """As DescribeInstanceTypes answers."""
    return {"InstanceType": name, "ProcessorInfo": {"SupportedArchitectures": [architecture]}, **info}


def gpus(maker: str, name: str, share: float = 1.0) -> dict[str, Any]:
    return {"Gpus": [{"Manufacturer": maker, "Name": name, "Count": 1, "GpuPartitionSize": share}]}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (answer("p3.2xlarge", GpuInfo=gpus("NVIDIA", "V100")), "has NVIDIA V100, and the driver and PyTorch"),
        (answer("g3s.xlarge", GpuInfo=gpus("NVIDIA", "M60")), "has NVIDIA M60, and the driver and PyTorch"),
        (answer("g4ad.xlarge", GpuInfo=gpus("AMD", "Radeon Pro V520")), "AMD Radeon Pro"),
        (answer("dl1.24xlarge", GpuInfo=gpus("Habana", "Gaudi HL-205")), "Habana Gaudi"),
        (answer("g6f.xlarge", GpuInfo=gpus("NVIDIA", "L4", 0.125)), "1/8 of NVIDIA L4, which needs"),
        (
            answer("trn1.2xlarge", NeuronInfo={"NeuronDevices": [{"Name": "Trainium", "Count": 1}]}),
            "AWS Trainium",
        ),
    ],
)  # fmt: skip
def test_a_type_that_the_image_s_driver_does_not_know_is_refused(raw: dict[str, Any], why: str) -> None:
    hardware = parse_hardware(raw)
    with pytest.raises(InputError) as refused:
        refuse_unfit(hardware, architecture="x86_64", own_image=False, where="instance_types")
    assert why in refused.value.what
    assert "\n" not in str(refused.value)
    assert "image.id" in (refused.value.remedy or "")
    refuse_unfit(hardware, architecture="x86_64", own_image=True, where="instance_types")


@pytest.mark.parametrize("own_image", [False, True])
def test_an_image_for_another_processor_is_refused_even_a_default_one(own_image: bool) -> None:
    hardware = parse_hardware(answer("g5g.xlarge", "arm64", GpuInfo=gpus("NVIDIA", "T4g")))
    with pytest.raises(InputError) as refused:
        refuse_unfit(hardware, architecture="x86_64", own_image=own_image, where="instance_types")
    assert str(refused.value) == (
        "instance_types: g5g.xlarge runs arm64, and the image is made for x86_64. Choose a type for x86_64, "
        "such as g4dn.xlarge or g6.xlarge, or set image.id to an AMI for arm64."
    )
    refuse_unfit(hardware, architecture="arm64", own_image=own_image, where="instance_types")


@pytest.mark.parametrize(
    "raw",
    [
        answer("g4dn.xlarge", GpuInfo=gpus("NVIDIA", "T4")),
        answer("p6-b300.48xlarge", GpuInfo=gpus("NVIDIA", "B300")),
        answer("m7i.large"),
    ],
)
def test_turing_and_newer_and_plain_processors_fit(raw: dict[str, Any]) -> None:
    refuse_unfit(parse_hardware(raw), architecture="x86_64", own_image=False, where="instance_types")
