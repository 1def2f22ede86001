"""Finds scenes in released data: triggers over signals, tags, duplicates, search. Needs the extra ``mining``."""
