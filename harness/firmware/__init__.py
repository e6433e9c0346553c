"""Firmware images: their parts, the manifests that list them, and their pinned hashes."""
