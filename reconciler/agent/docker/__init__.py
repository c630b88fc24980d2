"""The agent of a Docker host: pushes what its containers use, and does what it is told, once."""
