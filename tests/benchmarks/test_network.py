"""The programs of benchmarks/network run, on small things. What they find is not judged."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(module: str, *arguments: str) -> str:
    """What a program prints."""
    ran = subprocess.run(
        [sys.executable, "-m", f"emotion_stream.benchmarks.network.{module}", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.needs("keras", "torch")
def test_training_is_compared_with_plain_pytorch() -> None:
    told = run("training", "--width=0.05", "--batch=4", "--steps=2", "--rounds=2")
    first, *table = told.splitlines()
    assert "batch 4, 2 steps" in first
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table if line.startswith("|")]
    assert [row[0] for row in rows[2:]] == ["plain PyTorch", "emotion train", "emotion train / plain"]
    plain, ours, ratio = (float(row[1].split()[0]) for row in rows[2:])
    assert plain > 0
    assert ratio == pytest.approx(ours / plain, rel=0.1)


@pytest.mark.needs("keras", "torch")
def test_plain_pytorch_trains_the_same_network() -> None:
    code = (
        "from emotion_stream.benchmarks.network import training as t\n"
        "model = t.trainable.build_trainable(48, t.HEADS, (4, 8, 8, 8, 8))\n"
        "ours = sum(int(t.np.prod(w.shape)) for w in model.trainable_weights)\n"
        "print(ours == sum(w.numel() for w in t.Plain((4, 8, 8, 8, 8)).parameters()))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "True", ran.stderr
