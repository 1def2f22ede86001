"""Videos in the gate: read where they lie sealed, carried on after an interruption, tested along their way."""
