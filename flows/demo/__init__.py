"""The demo: the real job on embedded parts, lifelike traffic, a live wallboard, and a check of what was written."""
