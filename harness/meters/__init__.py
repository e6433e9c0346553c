"""Meters of the current that a board draws, and the energy of an invoke from what they see."""
