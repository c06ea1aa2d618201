"""`gpu-box` and `python -m gpu_box`."""

import _thread
import gc
import os
import sys
import threading
import time
from contextlib import suppress

_INTERRUPTED = 130
_CALLBACK_S = 0.02  # longer than the callback in which Ctrl-C came, and this hook, take


def main() -> int:
    sys.unraisablehook = _unraisable
    # Imports too are within it: Ctrl-C may come at any moment.
    try:
        from gpu_box.cli import main as command

        # The SDK makes 100,000 objects that stay; Python looks through them every 700.
        gc.set_threshold(50_000)
        code = command.main()
        # Spares the interpreter three collections of what ends with it anyway: 0.1 s of each command.
        gc.freeze()
        return _left(code, command.signals)
    except KeyboardInterrupt:
        from gpu_box.cli import main as command

        return _left(command.interrupted(), command.signals)


def _unraisable(lost: "sys.UnraisableHookArgs") -> None:
    """Ctrl-C within a callback of the interpreter (of a weak reference, of an import's lock) cannot be raised
    there: Python prints a traceback, and the command would go on. So it comes again, a moment later.
    """
    if lost.exc_type is KeyboardInterrupt:
        threading.Thread(target=_interrupt_again, daemon=True).start()
    else:
        sys.__unraisablehook__(lost)


def _interrupt_again() -> None:
    import signal

    from gpu_box.cli import main as command

    time.sleep(_CALLBACK_S)
    command.signals.pop(signal.SIGINT, None)
    _thread.interrupt_main()


def _left(code: int, signals: dict[int, float]) -> int:
    """After Ctrl-C end here: a thread that waits for an answer of AWS would keep the process for minutes.

    signals: that have ended the command. What sent SIGTERM sees that it did its work.
    """
    if code == _INTERRUPTED:
        import signal

        ended = signal.SIGTERM in signals
        if ended or threading.active_count() > 1:
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError):
                    stream.flush()
            if ended:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.raise_signal(signal.SIGTERM)
            os._exit(code)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
