"""What the gate does with each kind of item: one handler a family, all of one shape."""
