package fleetgate.lib

# METADATA
# description: The value of a dated parameter on the day of the question; undefined before its first date.
value(parameter) := parameter.values[max([date | some date, _ in parameter.values; date <= day])] if {
	day := substring(input.context.time, 0, 10)
}

# METADATA
# description: A dated parameter as a set; undefined where the parameter is. A bundle with an empty list does not load.
members(parameter) := {member | some member in list} if list := value(parameter)

# METADATA
# description: The highest of some levels; undefined if there is none or one is outside the taxonomy.
highest(levels, ranks) := highest_level if {
	by_rank := {ranks[level]: level | some level in levels}
	count(by_rank) == count(levels)
	highest_level := by_rank[max(object.keys(by_rank))]
}

# METADATA
# description: How many distinct approvers a level takes.
approvers(level, ranks) := value(data.law.approval.approvers_from_s3) if ranks[level] >= ranks.S3_IMPORTANT

approvers(level, ranks) := value(data.law.approval.approvers_below_s3) if ranks[level] < ranks.S3_IMPORTANT
