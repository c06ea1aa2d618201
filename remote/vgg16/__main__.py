"""`python -m vgg16 COMMAND`: prepare pictures, train, evaluate, send a submission."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable

from vgg16 import Problem
from vgg16.command import printable, values
from vgg16.elastic import HOPELESS, Interrupted, end_with_launcher, leave_word, restarts
from vgg16.ending import EXIT_STATUS, Ended, listen
from vgg16.kaggle import competition
from vgg16.kaggle.competition import DOGS_VS_CATS

# Small enough for two cores without a GPU, on the 200 photographs of `data faces`: half a minute.
AddParser = Callable[..., argparse.ArgumentParser]  # of a parser's commands
_DEMO = {"weights": "none", "image_size": 48, "epochs": 8, "batch_size": 16}


def main(words: list[str] | None = None) -> int:
    arguments = _parser().parse_args(words)
    try:
        return arguments.run(arguments)
    except Interrupted as problem:
        _complain(f"error: {problem}")
        return 1
    except Problem as problem:
        return _fail(str(problem))
    except OSError as error:  # a full disk, a folder that is not ours to write
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}{_goes_on(arguments)}")
    except Ended as ended:
        if os.environ.get("RANK", "0") == "0":
            _complain(str(ended))
        return EXIT_STATUS
    except KeyboardInterrupt:
        _complain(f"interrupted{_goes_on(arguments)}")
        return 130


def _fail(text: str) -> int:
    """The exit status of an error that a restart would meet again."""
    if restarts() < 0:
        _complain(f"error: {text}")
        return 1
    if not leave_word(text):
        _complain(f"error: {text}")
    return HOPELESS


def _complain(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)


def _say(line: str) -> None:
    print(printable(line), flush=True)


def _goes_on(arguments: argparse.Namespace) -> str:
    """How to go on after an error of the machine, to append to it; "" for a training that kept nothing."""
    if arguments.run is _train and not os.path.exists(arguments.results / "checkpoint.pt"):
        return ""
    return f"; {arguments.goes_on}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vgg16", description=__doc__)
    parser.set_defaults(goes_on="the same command goes on where it was")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_data(commands.add_parser)
    _add_train(commands.add_parser)
    _add_evaluate(commands.add_parser)
    _add_kaggle(commands.add_parser)
    return parser


def _add_evaluate(add: AddParser) -> None:
    score = add("evaluate", help="top-1 and top-5 accuracy of a network over a folder of pictures")
    option = score.add_argument
    option("--data", type=values.path, required=True, help="folder with one sub-folder for each class")
    option("--weights", type=values.weights, help="imagenet, caffe, FILE or caffe:FILE (imagenet)")
    option("--batch-size", type=values.positive, default=64, help="pictures at once (64)")
    option("--image-size", type=values.size, help="pixels a side, 32 or more (224)")
    option("--precision", choices=["auto", "fp32", "fp16", "bf16"], default="auto", help="of products (auto)")
    option("--device", help="cuda, cuda:1 or cpu (default: a GPU if there is one)")
    score.set_defaults(run=_evaluate, goes_on="run it again")


def _add_data(add: AddParser) -> None:
    data = add("data", help="prepare pictures: train/CLASS, valid/CLASS, test/unknown")
    kinds = data.add_subparsers(required=True, metavar="KIND")
    faces = kinds.add_parser("faces", help="200 real photographs that scikit-image ships: no download")
    faces.add_argument("--to", type=values.path, required=True, help="folder to make")
    faces.set_defaults(run=_faces)


def _add_kaggle(add: AddParser) -> None:
    fetch = add("fetch", help="Kaggle's Dogs vs Cats, downloaded, unpacked and split")
    fetch.add_argument("--to", type=values.path, required=True, help="folder to make")
    fetch.add_argument(
        "--zip", type=values.path, nargs="+", help="Kaggle's zip files, if you have them already"
    )
    fetch.set_defaults(run=_fetch)
    split = add("split", help="a folder with Kaggle's flat train/cat.0.jpg, split in place")
    split.add_argument("folder", type=values.path, help="with train/ and maybe test/")
    split.set_defaults(run=_split)
    for parser in (fetch, split):
        parser.add_argument("--valid", type=values.positive, default=2000, help="pictures to hold out (2000)")
        parser.add_argument("--seed", type=values.seed, default=0, help="chooses the held-out pictures (0)")
    submit = add("submit", help="a trained run's answers to Kaggle, as id,label")
    submit.add_argument("--results", type=values.path, required=True, help="the folder that `train` filled")
    submit.add_argument("--clip", type=values.clip, help="as for train (default: chosen on valid)")
    submit.add_argument(
        "--sample", type=values.path, help="Kaggle's sample_submission.csv (default: the data's)"
    )
    submit.add_argument("--message", default="VGG16, fine-tuned", help="what Kaggle shows beside the score")
    submit.add_argument("--no-send", action="store_true", help="write and check the file only")
    submit.set_defaults(run=_submit)
    for parser in (fetch, submit):
        parser.add_argument("--competition", default=DOGS_VS_CATS, help="Kaggle's name for it")


def _add_train(add: AddParser) -> None:
    train = add("train", help="fine-tune VGG16")
    option = train.add_argument
    option(
        "--data",
        type=values.path,
        required=True,
        help="folder with train/CLASS, valid/CLASS and maybe test/unknown",
    )
    option("--results", type=values.path, required=True, help="folder for figures, plots and submission")
    option("--preset", choices=["demo"], help=f"demo: no GPU, no download: {_words(_DEMO)}")
    option("--epochs", type=values.positive, help="passes over the training pictures (default: 1)")
    option("--batch-size", type=values.positive, help="pictures a step (default: 64)")
    option("--image-size", type=values.size, help="pixels a side, 32 or more (default: 224)")
    option(
        "--weights",
        type=values.weights,
        help="imagenet, caffe, none (random), FILE or caffe:FILE (default: imagenet)",
    )
    option("--lr", type=values.rate, default=0.001, help="Adam's learning rate (default: 0.001)")
    option("--seed", type=values.seed, default=0, help="of the order, dropout and new layers (default: 0)")
    option("--layers", choices=["last", "classifier", "all"], default="last", help="to train (default: last)")
    option("--augment", action="store_true", help="vary the training pictures at random")
    option(
        "--clip", type=values.clip, help="keep probabilities this far from 0 and 1 (default: chosen on valid)"
    )
    option("--resume", action="store_true", help="go on from the last finished epoch in --results")
    option("--cache", type=values.path, help="folder for features (default: $VGG16_CACHE or ~/scratch/vgg16)")
    option("--no-cache", action="store_true", help="compute features anew every epoch")
    option(
        "--precision",
        choices=["auto", "fp32", "fp16", "bf16"],
        default="auto",
        help="of products (default: auto, what this device is fast at)",
    )
    option(
        "--decoder",
        choices=["auto", "pillow", "nvimgcodec"],
        default="auto",
        help="of JPEGs (default: auto, on the GPU, nvimgcodec, if the package is installed, else pillow)",
    )
    option("--device", help="cuda, cuda:1 or cpu (default: a GPU; the CPU only on a machine without one)")
    option("--no-compile", action="store_true", help="never compile the network, even if it would be faster")
    option("--save", type=values.path, help="write the trained network to this .safetensors file")
    option(
        "--dollars-per-hour",
        type=values.price,
        help="the box's price, for the running cost in progress lines (default: $GPU_BOX_DOLLARS_PER_HOUR)",
    )
    train.set_defaults(run=_train, goes_on="--resume goes on from the last finished epoch")


def _faces(arguments: argparse.Namespace) -> int:
    from vgg16.data import faces

    _say(faces.prepare(arguments.to))
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    from vgg16.data import dogscats
    from vgg16.data.archive import DamagedArchive

    to = arguments.to
    if dogscats.is_prepared(to, _say):
        return 0
    # Kept until all is unpacked, so that an interrupted download continues.
    kept = to.with_name(f".{to.name}.download")
    zips = arguments.zip or [competition.fetch(arguments.competition, kept)]
    try:
        dogscats.prepare(to, zips, valid=arguments.valid, seed=arguments.seed, say=_say)
    except DamagedArchive:
        shutil.rmtree(kept, ignore_errors=True)
        raise
    shutil.rmtree(kept, ignore_errors=True)
    return 0


def _split(arguments: argparse.Namespace) -> int:
    from vgg16.data import dogscats

    folder = arguments.folder
    _say(f"{folder}: {dogscats.split(folder, valid=arguments.valid, seed=arguments.seed)}")
    return 0


def _submit(arguments: argparse.Namespace) -> int:
    from vgg16.data.dogscats import SAMPLE
    from vgg16.kaggle import predictions, submission

    predicted = predictions.load(arguments.results)
    path = arguments.results / "submission.csv"
    clip = submission.make_submission(path, predicted, arguments.clip)
    _say(f"{path}: {submission.describe(predicted, clip)}")
    sample = arguments.sample or predicted.data / SAMPLE
    if arguments.sample or sample.is_file():
        count = submission.check_submission(path, sample)
        _say(f"{count:,} rows with the ids of {sample}")
    else:
        _say(f"{submission.check_submission(path):,} rows; no {SAMPLE} here, so the ids are not compared")
    if arguments.no_send:
        _say("not sent: --no-send")
    elif not competition.has_credentials():
        _say("not sent: no Kaggle credentials here (kaggle: true in config.yaml brings them)")
    else:
        _say(competition.send(path, arguments.competition, arguments.message))
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from vgg16.cache import default_root
    from vgg16.report import ProgressReport
    from vgg16.run import Settings, train

    price = arguments.dollars_per_hour
    if price is None:
        price = values.variable("GPU_BOX_DOLLARS_PER_HOUR", values.price)
    values.variable("VGG16_CACHE", values.path)  # or an unknown user's home would be a traceback
    given = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "image_size", "weights")}
    chosen = (_DEMO if arguments.preset == "demo" else {}) | {k: v for k, v in given.items() if v is not None}
    same = (
        "data",
        "results",
        "lr",
        "seed",
        "layers",
        "augment",
        "clip",
        "resume",
        "precision",
        "device",
        "decoder",
        "save",
    )
    settings = Settings(
        **chosen,
        **{name: getattr(arguments, name) for name in same},
        compiled=not arguments.no_compile,
        cache=None if arguments.no_cache else arguments.cache or default_root(),
    )
    listen()
    end_with_launcher()
    train(settings, ProgressReport(dollars_per_hour=price))
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from vgg16.evaluate import outputs_of, readable, top_k
    from vgg16.lesson import Vgg16
    from vgg16.report import ProgressReport

    report = ProgressReport()
    vgg = Vgg16(
        arguments.weights or values.variable("VGG16_WEIGHTS", values.weights),
        size=arguments.image_size or values.variable("VGG16_SIZE", values.size),
        device=arguments.device,
        precision_name=arguments.precision,
        cache=None,
        report=report,
    )
    batches = vgg.get_batches(arguments.data, shuffle=False, batch_size=arguments.batch_size)
    outputs = outputs_of(batches.folder.classes, vgg.classes)
    probabilities = vgg.probabilities(batches)
    counted = readable(batches)
    truth = [outputs[label] for label in batches.classes[counted].tolist()]
    shares = [
        f"top-{k} {top_k(probabilities[counted], truth, k):.1%}" for k in (1, 5) if k < len(vgg.classes)
    ]
    report.say(f"{vgg.weights_name}: {', '.join(shares)} of {len(truth):,} pictures")
    return 0


def _words(preset: dict[str, object]) -> str:
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in preset.items())


if __name__ == "__main__":
    sys.exit(main())
