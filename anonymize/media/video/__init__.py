"""Videos: facts, detection in every frame, tracking, masking, encoding, and the second look at the result."""
