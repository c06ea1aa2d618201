"""IAM: moto's, with what AWS refuses and moto does not."""

from __future__ import annotations

from typing import Any

from moto.iam import models as moto_models
from moto.iam import urls
from moto.iam.exceptions import EntityAlreadyExists, IAMException, InvalidInput, NotFoundException
from moto.iam.models import IAMBackend

_OF_SERVICES = "/aws-service-role/"
# EC2 User Guide, "Service-linked role for Spot Instance requests"
moto_models.SERVICE_NAME_CONVERSION["spot"] = "EC2Spot"


class UnmodifiableEntity(IAMException):  # type: ignore[misc]
    code = "UnmodifiableEntity"


class IAM(IAMBackend):  # type: ignore[misc]
    _url_module: Any = urls

    def create_role(
        self,
        role_name: str,
        assume_role_policy_document: str,
        path: str,
        permissions_boundary: str | None,
        *args: Any,
        **options: Any,
    ) -> Any:
        """Names are unique without regard to case (IAM API, CreateRole), and the boundary must be there."""
        if any(role.name.casefold() == role_name.casefold() for role in self.get_roles()):
            raise EntityAlreadyExists(f"Role with name {role_name} already exists.")
        if permissions_boundary and permissions_boundary not in self.managed_policies:
            raise NotFoundException(f"Scope ARN: {permissions_boundary} does not exist or is not attachable.")
        return super().create_role(
            role_name, assume_role_policy_document, path, permissions_boundary, *args, **options
        )

    def get_role(self, role_name: str) -> Any:
        for role in self.get_roles():
            if role.name.casefold() == role_name.casefold():
                return role
        raise NotFoundException(f"The role with name {role_name} cannot be found.")

    def delete_role(self, role_name: str) -> None:
        if self.get_role(role_name).path.startswith(_OF_SERVICES):
            raise UnmodifiableEntity(
                f"Cannot perform the operation on the protected role '{role_name}' - this role is only "
                "modifiable by AWS",
            )
        super().delete_role(role_name)

    def create_service_linked_role(self, service_name: str, description: str, suffix: str) -> Any:
        try:
            return super().create_service_linked_role(service_name, description, suffix)
        except EntityAlreadyExists as error:
            name = next(word for word in str(error.message).split() if word.startswith("AWSServiceRoleFor"))
            raise InvalidInput(  # chanzuckerberg/cztack#897
                f"Service role name {name} has been taken in this account, please try a different suffix."
            ) from None
