"""The status routes."""
