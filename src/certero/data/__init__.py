"""Photos in: scanning, fingerprints, separation, splits and the synthetic barn."""
