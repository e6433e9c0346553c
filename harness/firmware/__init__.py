"""Firmware images: what they are made of, which there are, and what is pinned about them."""
