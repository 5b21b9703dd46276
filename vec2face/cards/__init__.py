"""Documents about a dataset, made from the facts of its audit alone: a card to publish, a report to look at."""

from vec2face.cards.documents import read_facts, write_card, write_report

__all__ = ["read_facts", "write_card", "write_report"]
