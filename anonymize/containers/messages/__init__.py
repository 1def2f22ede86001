"""How the fields of each family of messages are treated; messages are trees (``anonymize.containers.tree``)."""
