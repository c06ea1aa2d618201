"""`gpu-box` and `python -m gpu_box`."""

import gc


def main() -> int:
    # Imports too are within it: Ctrl-C may come at any moment.
    try:
        from gpu_box.cli import main as command

        gc.set_threshold(
            50_000
        )  # the SDK makes 100,000 objects that stay; Python looks through them every 700
        code = command.main()
        # Spares the interpreter three collections of what ends with it anyway: 0.1 s of each command.
        gc.freeze()
        return code
    except KeyboardInterrupt:
        from gpu_box.cli import main as command

        return command.interrupted()


if __name__ == "__main__":
    raise SystemExit(main())
