"""`gpu-box` and `python -m gpu_box`."""

import gc

from gpu_box.cli import main as command


def main() -> int:
    gc.set_threshold(50_000)  # the SDK makes 100,000 objects that stay; Python looks through them every 700
    code = command.main()
    # Spares the interpreter three collections of what ends with it anyway: 0.1 s of each command.
    gc.freeze()
    return code


if __name__ == "__main__":
    raise SystemExit(main())
