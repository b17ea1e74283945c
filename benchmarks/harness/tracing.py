"""Profiles any process of a run from its first to its last moment; see `benchmarks.sections.profiling`.

Imported through a `sitecustomize` module. Counts the CPU time of threads, so waiting costs nothing. With Python
3.11 each thread has a profile of its own; later versions see all threads in one.
"""

import atexit
import cProfile
import os
import pstats
import sys
import threading
import time
from pathlib import Path

FOLDER = "BENCH_PROFILE_FOLDER"
"""Environment variable: the folder to write to. The supervisor passes on what does not begin with `EMOTION_`."""


def start(folder: Path) -> None:
    """Profile this process until it ends."""
    main = cProfile.Profile(time.thread_time)
    threads: list[cProfile.Profile] = []
    original = threading.Thread.run

    def run(thread: threading.Thread) -> None:
        profile = cProfile.Profile(time.thread_time)
        threads.append(profile)
        profile.enable()
        try:
            original(thread)
        finally:
            profile.disable()

    def end() -> None:
        main.disable()
        stats = pstats.Stats(main)
        for profile in threads:
            stats.add(profile)
        configs = [a for a in sys.argv if a.startswith("--config=")]
        name = Path(configs[0].partition("=")[2]).stem if configs else "other"
        stats.dump_stats(folder / f"{'runner' if 'run' in sys.argv[1:2] else name}.pstats")

    if sys.version_info < (3, 12):
        threading.Thread.run = run  # type: ignore[method-assign, assignment]
    atexit.register(end)
    main.enable()


if FOLDER in os.environ:
    start(Path(os.environ[FOLDER]))
