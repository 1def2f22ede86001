package fleetgate.lib

# METADATA
# description: Whether the signed statement over this very bundle is in force.
in_force(policy, at) if {
	policy.signed == true
	policy.digest == data.fleetgate_bundle.digest
	within(at, policy.not_before, policy.not_after)
}

# METADATA
# description: Whether a reference is stated at all.
stated(reference) if {
	is_string(reference)
	count(reference) > 0
}
