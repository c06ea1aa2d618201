"""`python -m vgg16 COMMAND`: pictures into the lesson's layout, training, submission."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from vgg16.errors import Problem

# Small enough for two cores without a GPU, on the 200 photographs of `data faces`: half a minute.
_DEMO = {"weights": "none", "image_size": 48, "epochs": 8, "batch_size": 16}


def main(words: list[str] | None = None) -> int:
    arguments = _parser().parse_args(words)
    try:
        return arguments.run(arguments)
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("interrupted; --resume goes on from the last finished epoch", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vgg16", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_data(commands)
    _add_train(commands)
    check = commands.add_parser("check-submission", help="would Kaggle take this id,label file?")
    check.add_argument("submission", type=_path)
    check.add_argument("--sample", type=_path, help="the competition's sample_submission.csv: same ids?")
    check.set_defaults(run=_check)
    return parser


def _add_data(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    data = commands.add_parser("data", help="prepare pictures: train/CLASS, valid/CLASS, test/unknown")
    kinds = data.add_subparsers(required=True, metavar="KIND")
    faces = kinds.add_parser("faces", help="200 real photographs that scikit-image ships: no download")
    faces.add_argument("--to", type=_path, required=True, help="folder to make")
    faces.set_defaults(run=_faces)
    kaggle = kinds.add_parser("kaggle-dogs-cats", help="Kaggle's train.zip and test.zip, unpacked and split")
    kaggle.add_argument("--zip", type=_path, required=True, help="train.zip: train/cat.0.jpg and so on")
    kaggle.add_argument("--test-zip", type=_path, help="test.zip: test/1.jpg and so on")
    kaggle.add_argument("--to", type=_path, required=True, help="folder to make")
    kaggle.set_defaults(run=_kaggle_dogs_cats)
    split = kinds.add_parser("split", help="a folder with Kaggle's flat train/cat.0.jpg, split in place")
    split.add_argument(
        "--in", dest="root", type=_path, required=True, help="folder with train/ and maybe test/"
    )
    split.set_defaults(run=_split)
    for parser in (kaggle, split):
        parser.add_argument("--valid", type=_positive, default=2000, help="pictures to hold out (2000)")
        parser.add_argument("--seed", type=int, default=0, help="of which are held out (0)")


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = commands.add_parser(
        "train", help="fine-tune VGG16", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    option = train.add_argument
    option(
        "--data",
        type=_path,
        required=True,
        help="folder with train/CLASS, valid/CLASS and maybe test/unknown",
    )
    option("--results", type=_path, required=True, help="folder for figures, plots and submission")
    option("--preset", choices=["demo"], help=f"demo: no GPU, no download: {_words(_DEMO)}")
    option("--epochs", type=_positive, help="passes over the training pictures (default: 1)")
    option("--batch-size", type=_positive, help="pictures a step (default: 64)")
    option("--image-size", type=_size, help="pixels a side, 32 or more (default: 224)")
    option("--weights", help="imagenet, caffe, none (random), FILE or caffe:FILE (default: imagenet)")
    option("--lr", type=float, default=0.001, help="Adam's learning rate")
    option("--seed", type=int, default=0, help="of order, dropout and new layers")
    option("--layers", choices=["last", "classifier", "all"], default="last", help="which layers learn")
    option("--augment", action="store_true", help="vary the training pictures at random")
    option("--clip", type=_clip, help="keep probabilities this far from 0 and 1 (default: chosen on valid)")
    option("--resume", action="store_true", help="go on from the last finished epoch in --results")
    option("--cache", type=_path, help="folder for features (default: $VGG16_CACHE or ~/.cache/vgg16)")
    option("--no-cache", action="store_true", help="compute features anew every epoch")
    option("--precision", choices=["auto", "fp32", "fp16", "bf16"], default="auto", help="of products")
    option("--device", help="cuda, cuda:1 or cpu (default: a GPU where there is one)")
    option("--dollars-per-hour", type=float, help="the box's price, for the running cost in progress lines")
    train.set_defaults(run=_train)


def _faces(arguments: argparse.Namespace) -> int:
    from vgg16 import faces

    print(faces.prepare(arguments.to), flush=True)
    return 0


def _kaggle_dogs_cats(arguments: argparse.Namespace) -> int:
    from vgg16 import dogscats

    dogscats.prepare(
        arguments.to,
        train_zip=arguments.zip,
        test_zip=arguments.test_zip,
        valid=arguments.valid,
        seed=arguments.seed,
    )
    return 0


def _split(arguments: argparse.Namespace) -> int:
    from vgg16 import dogscats

    print(f"{arguments.root}: {dogscats.split(arguments.root, valid=arguments.valid, seed=arguments.seed)}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from vgg16.submission import check_submission

    count = check_submission(arguments.submission, arguments.sample)
    print(f"{arguments.submission}: {count:,} rows, as Kaggle wants them")
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from vgg16.cache import default_root
    from vgg16.report import ProgressReport
    from vgg16.run import Settings, train

    given = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "image_size", "weights")}
    chosen = (_DEMO if arguments.preset == "demo" else {}) | {k: v for k, v in given.items() if v is not None}
    same = ("data", "results", "lr", "seed", "layers", "augment", "clip", "resume", "precision", "device")
    settings = Settings(
        **chosen,
        **{name: getattr(arguments, name) for name in same},
        cache=None if arguments.no_cache else arguments.cache or default_root(),
    )
    price = arguments.dollars_per_hour or os.environ.get("GPU_BOX_DOLLARS_PER_HOUR")
    train(settings, ProgressReport(dollars_per_hour=float(price) if price else None))
    return 0


def _words(preset: dict[str, object]) -> str:
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in preset.items())


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("1 or more is needed")
    return number


def _size(text: str) -> int:
    if (number := int(text)) < 32:
        raise argparse.ArgumentTypeError("five halvings leave nothing of fewer than 32 pixels")
    return number


def _clip(text: str) -> float:
    if not 0 <= (number := float(text)) < 0.5:
        raise argparse.ArgumentTypeError("0 to 0.5 is needed")
    return number


if __name__ == "__main__":
    sys.exit(main())
