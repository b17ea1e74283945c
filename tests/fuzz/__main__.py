"""`python -m tests.fuzz`: FUZZ_INPUTS inputs for the decoders (default a million), FUZZ_PICTURES pictures (default
20,000), all from FUZZ_SEED. FUZZ_DETECTOR=haar or yunet: all pictures for this detector alone."""

import faulthandler
import multiprocessing
import os
import random
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.fuzz import decoders, pictures

GROWTH = 64 << 20
"""Bytes by which the process may grow while it decodes messages."""


def main() -> int:
    """Returns the exit code: 0 if nothing crashed, hung, or grew."""
    seed = int(os.environ.get("FUZZ_SEED") or random.SystemRandom().randrange(10**6))
    inputs = int(os.environ.get("FUZZ_INPUTS") or 1_000_000)
    count = int(os.environ.get("FUZZ_PICTURES") or 20_000)
    wanted = os.environ.get("FUZZ_DETECTOR")
    if wanted and wanted not in pictures.BOTH:
        print(f"FUZZ_DETECTOR={wanted}: choose among {', '.join(pictures.BOTH)}", file=sys.stderr)
        return 2
    only = next((name for name in pictures.BOTH if name == wanted), None)
    print(f"FUZZ_SEED={seed}", flush=True)
    faulthandler.enable()
    chance = random.Random(seed)
    decoders.fuzz(1_000, chance)
    before, began = _peak(), time.monotonic()
    tally = decoders.fuzz(inputs, chance)
    grown = _peak() - before
    total = sum(tally.inputs.values())
    print(
        f"messages: {total} inputs in {time.monotonic() - began:.0f} s, slowest {tally.slowest * 1000:.1f} ms CPU"
    )
    print(f"  grown by {grown / 2**20:.1f} MiB")
    for name, n in sorted(tally.inputs.items()):
        print(f"  {name:<12} {n:>9} inputs, {tally.accepted[name]:>7} accepted")
    began = time.monotonic()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(pictures.fuzz, count, seed, only, large=True).result()
    seconds = time.monotonic() - began
    print(f"pictures: {sum(found.outcomes.values())} in {seconds:.0f} s, slowest {found.slowest:.2f} s CPU")
    print(f"  most memory {found.peak / 2**20:.0f} MiB")
    for name, n in sorted(found.outcomes.items()):
        print(f"  {name:<44} {n:>7}")
    if grown > GROWTH:
        print(f"decoding messages took {grown} bytes of memory")
    return int(grown > GROWTH)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
