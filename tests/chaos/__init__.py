"""The program behind `make chaos`: a real pipeline, real faults, and what must hold all the same."""
