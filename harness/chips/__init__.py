"""Chip families: what an image looks like, which one makes a virtual board, and what the boot ROM does.

A profile names its family as `chip.family`; nothing else tells a chip from another.
"""
