"""Odd files: what encoders, scanners, microscopes and editors write, one module a format."""
