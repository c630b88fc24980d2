"""The agent of a Kubernetes cluster: lists what runs, applies what Git says, reports what came of it."""
