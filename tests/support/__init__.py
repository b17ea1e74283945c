"""What several tests use: servers, scripted cameras, pictures, model files, a virtual display."""
