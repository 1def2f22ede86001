package fleetgate.lib

# METADATA
# description: The tags of an item as a set; undefined for an item without tags.
tags(item) := {tag | some tag in item.tags} if is_array(item.tags)

# METADATA
# description: The treatments of an item as a set; empty for an item without, which lowers and removes nothing.
treatments(item) := {treatment | some treatment in item.treatments}

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
