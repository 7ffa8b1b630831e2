"""The labels of the model, in the order of its outputs; all of `models` uses these."""

SENTIMENTS = ("negative", "neutral", "positive")
"""Order of the sentiment head, of `Scores.p` and of the confusion matrices."""

TAGS = ("frustration", "anger", "urgency", "confusion", "disappointment", "satisfaction", "sarcasm")
"""Order of the tag head and of `Scores.tags`; each tag is judged on its own."""

NEGATIVE_TAGS = ("frustration", "anger", "disappointment", "sarcasm")
"""Tags that count as negative; urgency and confusion do not, because they also occur in plain task talk."""

CHANNELS = ("voice", "chat", "email", "social", "survey")
"""Channels with their own calibration; any other channel name uses the global one."""
