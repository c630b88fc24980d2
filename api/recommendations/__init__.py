"""The Recommendations API: what workloads should request, a page at a time."""
