"""vgg16 in one sitting: the files and lines that the lesson's seven lines load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image

import vgg16
from vgg16.model import RANDOM, VGG16
from vgg16.weights.initialise import random_state

# The feature cache included. The aim is 1,200 lines; do not raise these.
MOST_FILES, MOST_LINES = 8, 1427
LESSON = """
import json, sys
import torch
from vgg16 import Vgg16
torch.set_num_threads(1)
vgg = Vgg16(size=32, width=8)
batches = vgg.get_batches(sys.argv[1] + "/train", batch_size=8)
val_batches = vgg.get_batches(sys.argv[1] + "/valid", batch_size=8)
vgg.finetune(batches)
vgg.fit(batches, val_batches, nb_epoch=1)
images, labels = next(val_batches)
vgg.predict(images)
loaded = {module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "vgg16"}
print(json.dumps(sorted(loaded)))
"""


def test_the_lesson_loads_what_it_uses_and_nothing_else_of_vgg16(tiny_set: Path, tmp_path: Path) -> None:
    for path in tiny_set.rglob("*.png"):
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
    net = VGG16(RANDOM.at(32), width=8)
    torch.save(random_state(net, 0), kept := str(tmp_path / "kept.pth"))
    environment = os.environ | {"PYTHONPATH": str(Path(vgg16.__file__).parents[1]), "VGG16_WEIGHTS": kept}
    command = [sys.executable, "-c", LESSON, str(tiny_set)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    files = [Path(file) for file in json.loads(ran.stdout.splitlines()[-1])]
    lines = sum(len(file.read_text().splitlines()) for file in files)
    names = ", ".join(file.relative_to(Path(vgg16.__file__).parent).as_posix() for file in files)
    assert len(files) <= MOST_FILES and lines <= MOST_LINES, f"{len(files)} files, {lines} lines: {names}"
    assert list((tmp_path / "cache").rglob("*.keys")), "the feature cache is a part of it"
