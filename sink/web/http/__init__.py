"""What any web server needs: addresses, who may ask, connections, files of the page."""

__all__ = ["address", "assets", "connections", "paths", "security"]
