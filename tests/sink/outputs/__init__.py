"""Tests of `sink/outputs/`, and of whose files may be written."""
