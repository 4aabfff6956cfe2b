"""The business case: what a model is worth in money, how sure that is, and the threshold that earns most."""
