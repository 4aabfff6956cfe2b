"""What a training run would take, without training."""
