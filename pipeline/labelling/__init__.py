"""Labels of released data: ontology, label sets, exchange, agreement, review. Needs the extra ``label``."""
