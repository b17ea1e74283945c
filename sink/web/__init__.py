"""The output `web[=HOST:PORT]`: a page that shows all cameras live, and the interface behind it."""
