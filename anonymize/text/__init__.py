"""Personal, vehicle and position data in text and JSON: found, replaced and searched for again."""
