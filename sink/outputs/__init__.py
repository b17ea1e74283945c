"""The outputs that write files and tables."""

__all__ = ["appender", "blocks", "csv_table", "faces", "images", "jsonl", "sqlite", "video"]
