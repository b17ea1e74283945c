"""The outputs that write files and tables."""

__all__ = ["appender", "csv_table", "faces", "images", "jsonl", "sqlite", "video"]
