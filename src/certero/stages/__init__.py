"""What the verbs share: look, prepare, fit, calibrate, judge, describe."""
