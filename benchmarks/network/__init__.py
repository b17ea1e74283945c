"""Programs about the network: how fast it trains, and what a choice around it does to accuracy."""
