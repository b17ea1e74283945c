"""How good a model is: figures, charts, the log of a training run, the model card."""

__all__ = ["assess", "card", "charts", "metrics", "runlog"]
