"""The detection stage: finds faces and cuts crops."""

__all__ = ["__init__", "boxes", "contract", "crop", "detector", "ignored", "motion"]
