"""The sample clip and how it is made."""
