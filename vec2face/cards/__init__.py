"""Documents about a dataset, made from the facts of its audit alone: a card to publish, a report to look at."""

from vec2face.cards.documents import find_facts, read_facts, write_card, write_report

__all__ = ["find_facts", "read_facts", "write_card", "write_report"]
