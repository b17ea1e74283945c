"""What a run of the chaos program has to say."""

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.checks import Verdict


@dataclass(slots=True)
class Outcome:
    """One wave: its faults, its verdict, and figures by name."""

    verdict: Verdict
    faults: Counter[str] = field(default_factory=Counter)
    recovery: dict[str, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)


class Report:
    """Adds waves up by kind. A live view that is not young again after `most_recovery` seconds is wrong."""

    def __init__(self, seed: int, most_recovery: float) -> None:
        self._seed = seed
        self._most_recovery = most_recovery
        self._waves: dict[str, list[Outcome]] = {}
        self.failed = False

    def add(self, kind: str, outcome: Outcome) -> None:
        self._waves.setdefault(kind, []).append(outcome)
        for name, seconds in outcome.recovery.items():
            outcome.verdict.expect(
                seconds <= self._most_recovery, f"after {name}: young again only after {seconds:.2f} s"
            )
        self.failed = self.failed or bool(outcome.verdict.wrong)
        print(f"{kind}: {'FAILED' if outcome.verdict.wrong else 'held'}, {_short(outcome)}", flush=True)
        for what in outcome.verdict.wrong[:20]:
            print(f"  WRONG: {what}", flush=True)

    def as_json(self) -> dict[str, Any]:
        return {"seed": self._seed, **{kind: _sum(waves) for kind, waves in self._waves.items()}}

    def print(self, seconds: float) -> None:
        print(f"\nseed {self._seed}, {seconds:.0f} s")
        for kind, waves in self._waves.items():
            total = _sum(waves)
            print(f"\n{kind} ({len(waves)} waves)")
            for name, value in total["figures"].items():
                print(f"  {name:<44} {value:g}")
            for name, count in sorted(total["faults"].items()):
                worst = total["recovery"].get(name)
                print(
                    f"  {name:<44} {count}" + (f"   recovered within {worst:.2f} s" if worst is not None else "")
                )
        if path := os.environ.get("CHAOS_JSON"):
            Path(path).write_text(json.dumps(self.as_json(), indent=2) + "\n")


def _short(outcome: Outcome) -> str:
    v = outcome.verdict
    return (
        f"{v.frames} lines, {sum(outcome.faults.values())} faults, lost {v.lost}, repeated {v.repeated},"
        f" given up by bad luck {v.innocent}"
    )


def _sum(waves: list[Outcome]) -> dict[str, Any]:
    figures: dict[str, float] = {
        "lines written": sum(w.verdict.frames for w in waves),
        "frames lost": sum(w.verdict.lost for w in waves),
        "lines repeated": sum(w.verdict.repeated for w in waves),
        "frames given up by bad luck": sum(w.verdict.innocent for w in waves),
        "dead letters": sum(w.verdict.letters for w in waves),
    }
    for name in sorted({name for w in waves for name in w.figures}):
        values = [w.figures[name] for w in waves if name in w.figures]
        figures[name] = max(values) if name.startswith(("most", "peak", "worst")) else sum(values)
    return {
        "faults": dict(sum((w.faults for w in waves), Counter())),
        "recovery": {
            name: max(w.recovery[name] for w in waves if name in w.recovery)
            for name in {name for w in waves for name in w.recovery}
        },
        "figures": figures,
    }
