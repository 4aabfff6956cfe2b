"""The table of photos: scan, manifest, labels, separation, split."""
