"""gpu-box: a GPU workstation on AWS from a laptop, impossible to forget."""

__version__ = "0.1.0"
