"""An image and a type that do not fit: `plan` and `up` report it, and create nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpu_box.aws.instance_types import refuse_unfit
from gpu_box.box.preview import preview
from gpu_box.config.model import ImageChoice
from gpu_box.errors import InputError

from .conftest import Laptop

# Public SSM parameters.
ARM = "/aws/service/canonical/ubuntu/server/24.04/stable/current/arm64/hvm/ebs-gp3/ami-id"
X86 = ARM.replace("arm64", "amd64")


def parameter(mine: Laptop, name: str) -> str:
    return str(mine.cloud.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])


@pytest.mark.parametrize("family", ["deep-learning", "ubuntu"])
@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("p3dn.24xlarge", "NVIDIA V100"),
        ("trn1.2xlarge", "AWS Trainium"),
        ("inf2.xlarge", "AWS Inferentia2"),
        ("vt1.3xlarge", "Xilinx U30"),
        ("g6f.xlarge", "GRID driver"),
        ("g5g.xlarge", "runs arm64"),
    ],
)
def test_what_the_image_has_no_driver_for_is_refused_before_the_launch(
    laptop: Callable[..., Laptop], wanted: str, why: str, family: str
) -> None:
    mine = laptop(instance_types=("g4dn.xlarge", wanted), image=ImageChoice(family=family))
    for command in (lambda: preview(mine.cloud), mine.up):
        with pytest.raises(InputError) as refused:
            command()
        assert refused.value.where == "instance_types"
        assert wanted in refused.value.what and why in refused.value.what
    assert mine.observe().nothing_left


def test_an_image_of_one_s_own_decides_for_itself_which_driver_it_has(laptop: Callable[..., Laptop]) -> None:
    arm, x86 = (ImageChoice(id=parameter(laptop(), name)) for name in (ARM, X86))
    for wanted, image in (("g5g.xlarge", arm), ("p3dn.24xlarge", x86)):
        assert preview(laptop(instance_types=(wanted,), image=image).cloud).instance_type == wanted
    with pytest.raises(InputError, match="is made for arm64"):
        preview(laptop(instance_types=("g4dn.xlarge",), image=arm).cloud)


@pytest.mark.parametrize("wanted", ["g6f.xlarge", "inf2.xlarge"])
def test_a_box_is_not_resized_to_what_its_image_has_no_driver_for(
    laptop: Callable[..., Laptop], wanted: str
) -> None:
    mine = laptop()
    instance = mine.up().instance
    assert instance is not None
    with pytest.raises(InputError) as refused:
        refuse_unfit(mine.cloud, wanted, like=instance)
    assert refused.value.where == "resize" and f"{wanted} has " in refused.value.what
