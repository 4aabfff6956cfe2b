"""What this computer gives: limits, whole files, the cache, installed libraries."""
