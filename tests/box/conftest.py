"""The embedded cloud of tests/aws."""

from ..aws.conftest import aws, cloud_home, embedded_exports, laptop, owner, weather  # noqa: F401
