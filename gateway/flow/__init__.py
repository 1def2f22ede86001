"""The stages of the gate, each a function from one verified value to the next."""
