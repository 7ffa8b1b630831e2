"""Language tags as the model spells and compares them (`models.language`), for stages, rules and flows."""

from models.language import is_one_of, spelled

__all__ = ["is_one_of", "spelled"]
