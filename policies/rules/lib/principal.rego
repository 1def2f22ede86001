package fleetgate.lib

# METADATA
# description: Whether the signed statement over this very bundle is in force.
in_force(policy, at) if {
	policy.signed == true
	policy.digest == data.fleetgate_bundle.digest
	within(at, policy.not_before, policy.not_after)
}

# METADATA
# description: Whether a surveying certificate is valid and of a kind that covers vehicle data.
valid(certificate, at) if {
	within(at, certificate.valid_from, certificate.valid_to)
	some kind in certificate.kinds
	kind in law(data.law.surveying.certificate_kinds, at)
}

# METADATA
# description: Whether a certificate covers a region by the leading digits of its code.
covers(certificate, region) if {
	some prefix in certificate.regions
	count(prefix) >= 2
	startswith(region, prefix)
}

# METADATA
# description: Whether a country is inside the jurisdiction whose rules hold.
at_home(country, "CN", at) if country in law(data.law.transfer.home_countries_cn, at)

at_home(country, "EU", at) if country in law(data.law.transfer.home_countries_eu, at)
