"""certero: labelled photos into an image classifier whose accuracy can be trusted."""
