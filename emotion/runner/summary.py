"""What a run says of itself: the progress line while it goes, the summary at its end. Pure functions."""

import time
from collections.abc import Mapping
from typing import Any

from emotion_stream.emotion.labels import told_labels
from emotion_stream.shared.log import clean
from emotion_stream.sink.events.event import in_words

KEEP = "to keep results, --output jsonl=results.jsonl, --output video=annotated.mp4 or --report report.html"
CLEAR = "\r\x1b[K"
"""Begins a terminal's line anew."""


def progress_line(summary: Mapping[str, Any], appended: int, lag: float, elapsed: float) -> str:
    """One line: frames, rate, faces, how far behind, what was lost."""
    frames = int(summary["frames"])
    lost = int(summary["missing"]) + sum(summary["dropped"].values())
    rate = frames / elapsed if elapsed > 0 else 0.0
    parts = [
        f"{frames}/{appended} frames",
        f"{rate:.1f} fps",
        f"{summary['faces']} faces",
        f"lag {lag * 1000:.0f} ms",
    ]
    if lost:
        parts.append(f"{lost} dropped")
    if summary["errors"]:
        parts.append(f"{summary['errors']} unreadable")
    return "  ".join([time.strftime("%M:%S", time.gmtime(elapsed)), *parts])


def text_summary(summary: Mapping[str, Any]) -> str:
    """The summary for people."""
    latency = summary["latency_ms"]
    lines = [
        f"frames       {summary['frames']}" + (f" ({summary['errors']} unreadable)" if summary["errors"] else ""),
        f"faces        {summary['faces']}",
        f"rate         {summary['fps']:.1f} frames/s",
        "latency      "
        + ", ".join(f"{name} {_ms(latency[name])}" for name in ("p50", "p95", "p99"))
        + (" (with the wait: files are read ahead)" if summary["mode"] == "lossless" else ""),
    ]
    shares = sorted(summary["emotions"].items(), key=lambda item: -item[1])
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares if share > 0)
    lines.append(f"emotions     {told or 'none'}")
    lines.append(f"labels       {told_labels(summary['labels'])}")
    if summary["events"]:
        lines.append(f"events       {in_words(summary['events'])}")
    dropped = {**summary["dropped"], **({"missing": summary["missing"]} if summary["missing"] else {})}
    told = ", ".join(f"{reason} {n}" for reason, n in sorted(dropped.items()))
    lines.append(f"dropped      {told or 'none'}")
    left = summary["appended"] - summary["frames"] - sum(dropped.values())
    if left > 0:
        lines.append(f"not shown    {left} (the run was stopped)")
    lines.append(f"dead letters {summary['dead_letters']}")
    for target in summary["outputs"]:
        lines.append(f"written      {'to standard output' if target == '-' else clean(target)}")
    if kept := summary.get("kept"):
        lines.append(f"kept         {told_kept(kept)}")
        lines += [
            f"not written  {count} results to {output}: its disk was full"
            for output, count in kept["left_out"].items()
            if count
        ]
    if not summary["outputs"]:
        lines.append(f"written      nothing: {KEEP}")
    return "\n".join(lines)


def told_kept(kept: Mapping[str, Any]) -> str:
    """What is kept of the results, what goes next, and how much room is left, in a line. Times are UTC."""
    bound = f" of {sized(kept['limit'])}" if kept["limit"] else ""
    parts = [f"{sized(kept['size'])}{bound}"]
    if kept["oldest"] is not None:
        parts[0] += f" since {_when(kept['oldest'])}"
    if kept["next"]:
        at = f" on {_when(kept['next_at'])}" if kept["next_at"] is not None else ""
        parts.append(f"next to go: {kept['next']}{at}")
    if kept["room"] is not None:
        parts.append(f"room for {sized(kept['room'])}")
    return "; ".join(parts)


def sized(size: int) -> str:
    """A number of bytes for people, as `--keep-size` counts them."""
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{size / 2**20:.1f} MB"


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
