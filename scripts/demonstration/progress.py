# SPDX-License-Identifier: GPL-2.0
"""What happens now, and since when."""

import threading
import time
from contextlib import contextmanager

STARTED = time.monotonic()
TICK = 15


def say(text: str) -> None:
    """One line with the time since the start."""
    print(f"[{time.monotonic() - STARTED:4.0f}s] {text}", flush=True)


@contextmanager
def stage(text: str):
    """Announces a stage, tells every TICK seconds that it still runs, and how long it took."""
    began = time.monotonic()
    done = threading.Event()

    def tick() -> None:
        while not done.wait(TICK):
            say(f"{text} ... {time.monotonic() - began:.0f} s")

    say(f"{text} ...")
    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()
    say(f"{text}: done in {time.monotonic() - began:.0f} s")
