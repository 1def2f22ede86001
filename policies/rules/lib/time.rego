package fleetgate.lib

# METADATA
# description: Whether an instant lies in a period that includes its start and excludes its end.
within(at, start, end) if {
	time.parse_rfc3339_ns(start) <= time.parse_rfc3339_ns(at)
	time.parse_rfc3339_ns(at) < time.parse_rfc3339_ns(end)
}

# METADATA
# description: Whether one instant lies before another.
before(first, second) if time.parse_rfc3339_ns(first) < time.parse_rfc3339_ns(second)

# METADATA
# description: Whether one instant lies no later than another.
not_after(first, second) if time.parse_rfc3339_ns(first) <= time.parse_rfc3339_ns(second)

# METADATA
# description: Whether an instant lies no more than some days before another.
at_most_days(earlier, later, days) if time.parse_rfc3339_ns(later) <= time.add_date(time.parse_rfc3339_ns(earlier), 0, 0, days)
