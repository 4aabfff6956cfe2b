"""Networks trained whole, in torch."""
