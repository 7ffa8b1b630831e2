"""The labels of the model, in the order of its outputs. Everything else in `models` imports them from here."""

SENTIMENTS = ("negative", "neutral", "positive")
"""Order of the sentiment head, of `Scores.p` and of the confusion matrices."""

TAGS = ("frustration", "anger", "urgency", "confusion", "disappointment", "satisfaction", "sarcasm")
"""Order of the tag head and of `Scores.tags`; each tag is judged on its own."""

NEGATIVE_TAGS = ("frustration", "anger", "disappointment", "sarcasm")
"""Tags that speak against us; urgency and confusion also occur in plain task talk."""

CHANNELS = ("voice", "chat", "email", "social", "survey")
"""Channels with a calibration of their own; any other name uses the global one."""
