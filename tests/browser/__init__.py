"""The web page, driven by Chromium."""
