"""What can be wrong with what we were given. Each is one line for whoever typed."""


class Problem(Exception):
    """The input or the machine is not as needed: the message says what, where and what to do."""


class BadData(Problem):
    """A folder or a file of a data set is not usable."""


class DamagedArchive(BadData):
    """A zip file cannot be read to its end. Fetched again, it may be whole."""


class UnreadableImage(BadData):
    """One picture cannot be decoded: (file name, why). Left out of training, and named."""


class BadWeights(Problem):
    """Weights are missing, damaged or not VGG16's."""


class DownloadFailed(Problem):
    """A file could not be fetched. What arrived is kept, and the next try goes on from there."""


class TrainingFailed(Problem):
    """Training cannot go on: the loss is not a number, or not one picture fits into memory."""


class Interrupted(TrainingFailed):
    """Training was cut off by what another start, from the last finished epoch, may not meet again."""


class BadSubmission(Problem):
    """Predictions do not make a submission that Kaggle would take."""


class KaggleFailed(Problem):
    """Kaggle's site or package did not do what was asked of it."""
