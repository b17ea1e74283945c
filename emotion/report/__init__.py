"""`emotion report`: results as one page that needs nothing else, or as pictures."""

__all__ = ["command", "run"]
