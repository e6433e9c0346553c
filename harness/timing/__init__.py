"""How good the time estimate is: held against published figures, and fitted to a lab's own measurements."""
