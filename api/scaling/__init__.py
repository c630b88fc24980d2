"""The scaling routes."""
