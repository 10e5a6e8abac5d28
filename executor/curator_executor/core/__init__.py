"""The scheduling core: pure functions of values. No Ray, no clock, no I/O."""
