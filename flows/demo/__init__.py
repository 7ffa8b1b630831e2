"""The demo: the real job on embedded parts, lifelike traffic, a live wallboard, and an account of what happened."""
