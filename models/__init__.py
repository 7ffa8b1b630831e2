"""The sentiment model: cleaning, scoring and calibration at run time; training, export and evaluation offline."""
