"""The embedded cloud of tests/aws."""

from ..aws.conftest import aws, laptop, owner, weather  # noqa: F401
