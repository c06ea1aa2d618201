"""Names, descriptions and tags that AWS refuses, and moto takes.

IAM and EventBridge Scheduler check lengths and patterns of their service models, which botocore brings along.
EC2's model has next to none: its rules are those of its API reference, its messages those of public reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import unquote

from moto.core.utils import get_service_model

from local_aws.api.calls import Call, Fields, form, json_object, numbered, tags_asked

Refusal = tuple[str, str]
"""AWS's code and message."""

# EC2 API reference: CreateSecurityGroup, IpRange.
_DESCRIBED = re.compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}")
_THE_SET = "a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
# EC2 API reference, CreateImage.
_IMAGE_NAME = re.compile(r"[a-zA-Z0-9()\[\] ./\-'@_]{3,128}")
_RULE = re.compile(r"(IpPermissions|SecurityGroupRule(Description)?)\.\d+\.(.+\.)?Description")
# (operation, field): "up to 255 ASCII characters".
_ASCII = {
    ("ImportKeyPair", "KeyName"),
    ("CreateKeyPair", "KeyName"),
    ("CreatePlacementGroup", "GroupName"),
    ("CreateImage", "Description"),
    ("CreateSnapshot", "Description"),
}
_LONGEST, _LONGEST_KEY, _LONGEST_VALUE, _MOST_TAGS = 255, 128, 256, 50
# Java's Z category (separators), which Python's `re` has no name for.
_SEPARATORS = r"\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


def refusal(call: Call) -> Refusal | None:
    """Why AWS does not take the texts of this call, with status 400; None where it does."""
    if call.service == "ec2":
        fields = form(call.body)
        return next(
            (why for why in (_of_group(call, fields), _of_ec2(call, fields), _of_tags(call, fields)) if why),
            None,
        )
    if call.service in ("iam", "scheduler"):
        return _of_model(call)
    return None


def _of_group(call: Call, fields: Fields) -> Refusal | None:
    if call.operation == "CreateSecurityGroup":
        name, described = fields.get("GroupName", ""), fields.get("GroupDescription", "")
        if name.startswith("sg-"):
            return _invalid("GroupName", name, "Group names may not be in the format sg-*.")
        for field, text, kind in (
            ("GroupName", name, "name"),
            ("GroupDescription", described, "description"),
        ):
            if not text.isascii():
                return _beyond_ascii(field, text)
            if not _DESCRIBED.fullmatch(text):
                why = f"Invalid security group {kind}. Valid {kind}s are strings less than 256 characters"
                return "InvalidParameterValue", f"{why} from the following set:  {_THE_SET}"
    for field, text in fields.items():
        if _RULE.fullmatch(field) and not _DESCRIBED.fullmatch(text):
            why = "Invalid rule description. Valid descriptions are strings less than 256 characters"
            return "InvalidParameterValue", f"{why} from the following set: {_THE_SET}"
    return None


def _of_ec2(call: Call, fields: Fields) -> Refusal | None:
    if call.operation == "CreateImage" and not _IMAGE_NAME.fullmatch(fields.get("Name", "")):
        return "InvalidAMIName.Malformed", (
            "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, "
            "'(', ')', '.', '-', '/' and '_'"
        )
    for field, text in fields.items():
        if (call.operation, field) in _ASCII:
            if not text.isascii():
                return _beyond_ascii(field, text)
            if len(text) > _LONGEST:
                return _invalid(field, text, f"It may be up to {_LONGEST} characters long.")
    return None


def _of_tags(call: Call, fields: Fields) -> Refusal | None:
    asked = list(tags_asked(fields).values())
    if call.operation == "CreateTags":
        asked.append(numbered(fields, "Tag"))
    for tags in asked:
        if len(tags) > _MOST_TAGS:
            return "TagLimitExceeded", "The maximum number of Tags for a resource has been reached."
        for key, value in tags.items():
            if key.lower().startswith("aws:"):
                where = (
                    f"Value ( {key} ) for parameter key is invalid. "
                    if call.operation == "CreateTags"
                    else ""
                )
                return (
                    "InvalidParameterValue",
                    f"{where}Tag keys starting with 'aws:' are reserved for internal use",
                )
            for what, text, most in (("key", key, _LONGEST_KEY), ("value", value, _LONGEST_VALUE)):
                if len(text) > most:
                    return (
                        "InvalidParameterValue",
                        f"Tag {what} exceeds the maximum length of {most} characters",
                    )
    return None


def _beyond_ascii(field: str, text: str) -> Refusal:
    return _invalid(field, text, "Character sets beyond ASCII are not supported.")


def _invalid(field: str, text: str, why: str) -> Refusal:
    return "InvalidParameterValue", f"Value ({text}) for parameter {field} is invalid. {why}"


def _of_model(call: Call) -> Refusal | None:
    service = get_service_model(call.service)
    if call.operation not in service.operation_names:
        return None
    shape = service.operation_model(call.operation).input_shape
    if shape is None:
        return None
    if call.service == "iam":
        texts = _texts_of_form(shape, form(call.body))
    else:
        name = unquote(call.path.rsplit("/", 1)[-1])
        texts = _texts_of_json(shape, {"Name": name, **json_object(call.body)}, "")
    wrong = [
        # IAM no longer repeats the value (reports of 2026); Scheduler does.
        (f"Value '{text}' at" if call.service == "scheduler" else "Value at")
        + f" '{path}' failed to satisfy constraint: {constraint}"
        for path, found, text in texts
        for constraint in _broken(found, text)
    ]
    if not wrong:
        return None
    code = "ValidationException" if call.service == "scheduler" else "ValidationError"
    errors = "error" if len(wrong) == 1 else "errors"
    return code, f"{len(wrong)} validation {errors} detected: {'; '.join(wrong)}"


def _broken(shape: Any, text: str) -> Iterator[str]:
    """What is too short, the SDK refuses by itself."""
    most, pattern = shape.metadata.get("max"), shape.metadata.get("pattern")
    if pattern is not None and not _compiled(pattern).fullmatch(text):
        yield f"Member must satisfy regular expression pattern: {pattern}"
    if most is not None and len(text) > most:
        yield f"Member must have length less than or equal to {most}"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """A service model's pattern is Java's: letters and digits are ASCII's, but for \\p{L} and \\p{N}."""
    if r"\p{" not in pattern:
        return re.compile(pattern, re.ASCII)
    return re.compile(
        pattern.replace(r"\p{L}", r"\w").replace(r"\p{N}", r"\d").replace(r"\p{Z}", _SEPARATORS)
    )


def _texts_of_form(shape: Any, fields: Fields) -> Iterator[tuple[str, Any, str]]:
    """(path as AWS names it, shape, text) of "Tags.member.1.Value" and the like."""
    for field, text in fields.items():
        found, path = shape, []
        words = iter(field.split("."))
        for word in words:
            if found.type_name == "list" and word == "member":
                path += [next(words, ""), "member"]
                found = found.member
            elif found.type_name == "structure" and word in found.members:
                path.append(_lower(word))
                found = found.members[word]
            else:
                break
        else:
            if found.type_name == "string":
                yield ".".join(path), found, text


def _texts_of_json(shape: Any, value: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    if shape.type_name == "structure" and isinstance(value, dict):
        for name in value.keys() & shape.members.keys():
            yield from _texts_of_json(shape.members[name], value[name], f"{path}.{_lower(name)}".strip("."))
    elif shape.type_name == "string" and isinstance(value, str):
        yield path, shape, value


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]
