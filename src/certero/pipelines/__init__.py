"""One file a verb: the order of the stages."""
