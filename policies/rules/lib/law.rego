package fleetgate.lib

# METADATA
# description: The value of a dated parameter on the day of an instant; undefined before its first date.
law(parameter, at) := value if {
	day := substring(at, 0, 10)
	value := parameter.values[max([date | some date, _ in parameter.values; date <= day])]
}

# METADATA
# description: The rank of a level; undefined for a level outside the taxonomy.
rank(level, at) := law(data.law.taxonomy.level_rank, at)[level]

# METADATA
# description: The tags of an item as a set; undefined for an item without tags.
tags(item) := {tag | some tag in item.tags} if is_array(item.tags)

# METADATA
# description: The treatments of an item as a set; undefined for an item without treatments.
treatments(item) := {treatment | some treatment in item.treatments} if is_array(item.treatments)

# METADATA
# description: Whether something of an item was cut out or the item was dropped.
removed(item) if count(treatments(item) & {"cut", "drop"}) > 0

# METADATA
# description: Whether something of an item was masked destructively and the item was encoded anew.
masked(item) if {
	"reencode" in treatments(item)
	count(treatments(item) & {"mask_mean", "mask_solid", "mask_pixelate"}) > 0
}

masked(item) if removed(item)

# METADATA
# description: The highest of some levels; undefined if there is none or one is outside the taxonomy.
highest(levels, at) := highest_level if {
	count(levels) > 0
	ranks := {rank(level, at): level | some level in levels}
	count(ranks) == count(levels)
	highest_level := ranks[max(object.keys(ranks))]
}

# METADATA
# description: How many distinct approvers a level takes.
approvers(level, at) := law(data.law.approval.approvers_from_s3, at) if {
	rank(level, at) >= rank("S3_IMPORTANT", at)
}

approvers(level, at) := law(data.law.approval.approvers_below_s3, at) if {
	rank(level, at) < rank("S3_IMPORTANT", at)
}

# METADATA
# description: A dated parameter as a set; undefined, never empty, where the parameter is.
members(parameter, at) := {member | some member in values} if values := law(parameter, at)

# METADATA
# description: Whether a reference is stated at all.
stated(reference) if {
	is_string(reference)
	count(reference) > 0
}
