"""The output `web[=HOST:PORT]`: a page that shows all cameras live, and the interface behind it."""

__all__ = ["__init__", "output"]
