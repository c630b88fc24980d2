"""The agents routes."""
