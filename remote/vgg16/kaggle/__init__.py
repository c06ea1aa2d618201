"""The competition."""

from vgg16 import Problem


class BadSubmission(Problem):
    """Kaggle would not accept these predictions."""


class KaggleFailed(Problem):
    """Kaggle's site or package refused a request."""
