"""YuNet (Wu et al. 2023): a small network that looks at the whole frame and finds five landmarks in each face."""

__all__ = ["convert", "detector", "network"]
