"""Download a competition's files and send a submission, with Kaggle's own package.

`packages: [kaggle]` in config.yaml installs it on the box; `kaggle: true` copies the credentials there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vgg16.kaggle import KaggleFailed

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi

DOGS_VS_CATS = "dogs-vs-cats-redux-kernels-edition"
_SITE = "https://www.kaggle.com"


def has_credentials() -> bool:
    """Whether Kaggle's package will find a token, or a user's name and key."""
    if os.environ.get("KAGGLE_API_TOKEN"):
        return True
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        return True
    home = Path.home() / ".kaggle"
    folder = Path(os.environ.get("KAGGLE_CONFIG_DIR") or home)
    return (folder / "kaggle.json").is_file() or (home / "access_token").is_file()


def fetch(competition: str, folder: Path) -> Path:
    """All of the competition's files, as one zip in folder; a second call goes on where the first broke
    off. Raises KaggleFailed.
    """
    api = _connect()
    folder.mkdir(parents=True, exist_ok=True)
    with _explained(competition):
        api.competition_download_files(competition, path=str(folder), quiet=False)
    archive = folder / f"{competition}.zip"
    if not archive.is_file():
        raise KaggleFailed(f"{competition}: Kaggle sent something else than {archive.name}")
    return archive


def send(submission: Path, competition: str, message: str) -> str:
    """Kaggle's answer, in its own words. Raises KaggleFailed where it was not taken."""
    api = _connect()
    with _explained(competition):
        answer = api.competition_submit(str(submission), message, competition, quiet=True)
    if answer.message == api.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE:
        raise KaggleFailed(f"{submission}: the upload broke off; the file is whole here: submit it again")
    return f"{answer.message.rstrip('.')}; its score: {_SITE}/c/{competition}/submissions"


def _connect() -> KaggleApi:
    if not has_credentials():
        raise KaggleFailed(
            "no Kaggle credentials here: make a token at https://www.kaggle.com/settings, put it into "
            "~/.kaggle on your laptop, and set kaggle: true in config.yaml; the next `gpu-box up` brings it"
        )
    try:
        from kaggle.api.kaggle_api_extended import KaggleApi
    except ImportError:
        raise KaggleFailed(
            "Kaggle's package is not installed here: add kaggle to packages in config.yaml, then `gpu-box up`"
        ) from None
    api = KaggleApi()
    try:
        api.authenticate()
    except SystemExit:  # how the package says that it may not be used like this
        raise KaggleFailed("Kaggle's package cannot use the credentials in ~/.kaggle") from None
    return api


@contextmanager
def _explained(competition: str) -> Iterator[None]:
    """Kaggle's HTTP errors as one line with a remedy."""
    from requests import RequestException

    remedies = {
        401: "the credentials are not valid (any more): make new ones at https://www.kaggle.com/settings",
        403: f"accept the competition's rules first: {_SITE}/c/{competition}/rules",
        404: f"no such competition: {_SITE}/c/{competition}",
        429: "asked too often: wait some minutes",
    }
    try:
        yield
    except RequestException as error:
        status = error.response.status_code if error.response is not None else None
        if status is None:
            raise KaggleFailed(f"Kaggle cannot be reached ({error})") from None
        raise KaggleFailed(f"Kaggle said {status}: {remedies.get(status, str(error))}") from None
