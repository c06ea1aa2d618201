"""`gpu-box` and `python -m gpu_box`."""

import gc
import os
import sys
import threading
from contextlib import suppress

_INTERRUPTED = 130


def main() -> int:
    # Imports too are within it: Ctrl-C may come at any moment.
    try:
        from gpu_box.cli import main as command

        # The SDK makes 100,000 objects that stay; Python looks through them every 700.
        gc.set_threshold(50_000)
        code = command.main()
        # Spares the interpreter three collections of what ends with it anyway: 0.1 s of each command.
        gc.freeze()
        return _left(code)
    except KeyboardInterrupt:
        from gpu_box.cli import main as command

        return _left(command.interrupted())


def _left(code: int) -> int:
    """After Ctrl-C end here: a thread that waits for an answer of AWS would keep the process for minutes."""
    if code == _INTERRUPTED and threading.active_count() > 1:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
