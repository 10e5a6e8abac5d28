"""What was observed to what is to be done. Pure: every time is an argument."""
