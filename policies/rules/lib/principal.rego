package fleetgate.lib

# METADATA
# description: Whether the signed statement over this very bundle is in force.
in_force(policy, at) if {
	policy.signed == true
	policy.digest == data.fleetgate_bundle.digest
	within(at, policy.not_before, policy.not_after)
}

# METADATA
# description: Whether a surveying certificate is valid now and of a kind that covers vehicle data.
valid(certificate) if {
	within(input.context.time, certificate.valid_from, certificate.valid_to)
	some kind in certificate.kinds
	kind in members(data.law.surveying.certificate_kinds)
}

# METADATA
# description: Whether a certificate covers a region by the leading digits of its code.
covers(certificate, region) if {
	some prefix in certificate.regions
	stated(prefix)
	startswith(region, prefix)
}

# METADATA
# description: Whether a reference is stated at all.
stated(reference) if {
	is_string(reference)
	count(reference) > 0
}
