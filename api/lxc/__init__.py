"""The LXC routes."""
