"""The changes routes."""
