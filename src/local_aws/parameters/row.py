"""A row of the table: a constraint on a parameter, and AWS's error for a value that breaks it.

botocore's service models (lengths, characters, ranges, enumerations, required parameters) need no rows. EC2's
model says little: its limits are in botocore's text about a parameter (`doc`, word for word) or in AWS's
documentation; its error messages are in recordings and public reports (`source`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

VOLUME = "Volume"  # in place of "Operation:Path": a volume of any call
Refusal = tuple[str, str]
"""AWS's code and message."""
OWN_WORDS = "the code is documented, the words are this cloud's"
VALUE, COMBINATION = "InvalidParameterValue", "InvalidParameterCombination"
HUB = "https://github.com/"


@dataclass(frozen=True, kw_only=True)
class Row:
    where: str  # "Operation:Path" of a service_model.Given; a regular expression
    takes: Callable[[Any], bool]  # whether the value is valid
    code: str
    says: str | Callable[[Any], str]  # of {value} and {name}
    source: str  # of the message
    covers: str = ""  # what else it checks, like `where`
    doc: str = ""  # botocore's text about the parameter

    def is_for(self, operation: str, path: str) -> bool:
        return re.fullmatch(self.where, f"{operation}:{path}") is not None

    def looks_at(self, operation: str, path: str) -> bool:
        """Whether it checks the parameter, alone or together with others."""
        also = bool(self.covers) and re.fullmatch(self.covers, f"{operation}:{path}") is not None
        return also or self.is_for(operation, path)

    def refusal(self, name: str, value: Any) -> Refusal:
        if isinstance(self.says, str):
            return self.code, self.says.replace("{name}", name).replace("{value}", str(value))
        return self.code, self.says(value)


def like(pattern: str) -> Callable[[Any], bool]:
    return lambda value: re.fullmatch(pattern, value) is not None


def at_most(most: int) -> Callable[[Any], bool]:
    return lambda value: len(value) <= most


def one_of(*known: str) -> Callable[[Any], bool]:
    return lambda value: value in known


def not_both(one: str, other: str) -> Callable[[Any], bool]:
    return lambda given: not (one in given and given.get(other))


def an_id(prefix: str) -> Callable[[Any], bool]:
    return like(f"{prefix}-[0-9a-f]{{8}}([0-9a-f]{{9}})?")


BAD = "Value ({value}) for parameter {name} is invalid. "
AS_IMAGES = "as of images"
