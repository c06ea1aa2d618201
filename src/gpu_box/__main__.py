"""`gpu-box` and `python -m gpu_box`."""

from gpu_box.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
