"""Tissue domains and spatial statistics."""
