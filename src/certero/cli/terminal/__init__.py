"""What a terminal shows: output, progress, options, summaries."""
