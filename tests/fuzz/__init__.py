"""The program behind `make fuzz`: hostile bytes for everything that reads what others wrote."""
