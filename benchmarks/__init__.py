"""Benchmarks. `emotion bench` (or `make bench`) runs them.

docs/explanation/performance.md holds figures and method.

Each section is a module with a function `run(plan)`, which measures and returns a `report.Section`:

- `throughput`: frames/s, CPU and memory of the pipeline, beside `fer`, the original loop, and our own stages in
  one loop without Redis, in alternating rounds.
- `latency`: capture to result at 30 frames/s, and flat out.
- `cameras`: how many live cameras at 30 frames/s go without a drop.
- `scaling`: how throughput grows with detectors and with cameras.
- `start`: time to the first result, CPU of a pipeline in which nothing happens.
- `profiling`: where each process spends its time (`emotion bench --profile DIR`).

`harness/loop.py` and `peers/` are the programs that the pipeline is compared with; each runs in a process of its
own and prints one line of JSON. `cascades` and the programs in `network/`, `outputs/` and `video/` are run by
themselves; their first lines tell how.
"""

__all__ = ["command"]
