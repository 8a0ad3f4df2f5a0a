"""The steppers, one file each, behind `engine.AbstractEngine`."""
