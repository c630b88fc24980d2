"""The Actions API: configs, runs, completed actions, heartbeats, and what is done at once on request."""
