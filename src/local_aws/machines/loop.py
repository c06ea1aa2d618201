"""One event loop, in its own thread, for the connections of all machines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def on_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine on the loop and wait for it. Not to be called from the loop itself."""
    return asyncio.run_coroutine_threadsafe(work, the_loop()).result()


@cache
def the_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="connections", daemon=True).start()
    return loop
