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

# METADATA
# description: Whether an instant lies no less than some days after another.
at_least_days(earlier, later, days) if time.parse_rfc3339_ns(later) >= time.add_date(time.parse_rfc3339_ns(earlier), 0, 0, days)

# METADATA
# description: Whether an instant lies no less than some years after another; of 29 February, from 1 March on.
at_least_years(earlier, later, years) if {
	is_number(years) # "never" is none
	began := time.parse_rfc3339_ns(earlier)
	[_, _, day] := time.date(began)

	# The engines disagree on 29 February plus a year, but not on the first of a month.
	first := time.add_date(began, 0, 0, 1 - day)
	ends := time.add_date(time.add_date(first, years, 0, 0), 0, 0, day - 1)
	time.parse_rfc3339_ns(later) >= ends
}
