"""Detection models that operators register beside the embedded ones, and what was measured of them."""
