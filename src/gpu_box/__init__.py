"""gpu-box: a GPU workstation on AWS, from a laptop, that cannot be left running."""

__version__ = "0.1.0"
__all__ = ["Box", "GpuBoxError", "__version__"]

TYPE_CHECKING = False  # of type checkers, without the time to import `typing` in every command
if TYPE_CHECKING:
    from gpu_box.api import Box
    from gpu_box.errors import GpuBoxError


def __getattr__(name: str) -> object:
    """Import `Box` when it is first used: a command does without it."""
    if name == "Box":
        from gpu_box.api import Box

        return Box
    if name == "GpuBoxError":
        from gpu_box.errors import GpuBoxError

        return GpuBoxError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
