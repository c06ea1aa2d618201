"""Imported by the fork server, once: whatever is forked from it begins with the SDK's files read."""

from . import quick, stage

__all__ = ["stage"]

quick.warm()
