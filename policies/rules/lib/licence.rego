package fleetgate.lib

# METADATA
# description: Whether a surveying certificate is somebody's, valid now, of a kind that covers vehicle data, in its grade's limits.
valid(certificate) if {
	stated(certificate.holder)
	within(input.context.time, certificate.valid_from, certificate.valid_to)
	uninterrupted(certificate, input.context.time, input.context.time)
	surveys_vehicle_data(certificate.kinds)
	digits := value(data.law.surveying.grade_region_digits)[certificate.grade]
	every region in certificate.regions { count(region) >= digits }
}

# METADATA
# description: Whether a certificate covers a recording - its region, its whole time, and the unit that it was collected for.
licensed(certificate, recording) if {
	covers(certificate, recording.region)
	not_after(certificate.since, recording.started_at)
	before(recording.ended_at, certificate.valid_to)
	uninterrupted(certificate, recording.started_at, recording.ended_at)
	entitled(certificate, recording)
}

# METADATA
# description: Whether the unit of a recording holds the certificate, or delegated the recording to its holder.
entitled(certificate, recording) if certificate.holder == recording.unit

entitled(certificate, recording) if {
	some delegation in input.context.delegations
	delegation.delegator == recording.unit
	delegation.certificate == certificate.number
	within(input.context.time, delegation.valid_from, delegation.valid_to)
	not_after(delegation.valid_from, recording.started_at)
	covers(delegation, recording.region)
	surveys_vehicle_data(delegation.kinds)
	count({"*", recording.vehicle} & {vehicle | some vehicle in delegation.vehicles}) > 0
}

# METADATA
# description: Whether one of some kinds of surveying is one that covers vehicle data.
surveys_vehicle_data(kinds) if {
	some kind in kinds
	kind in members(data.law.surveying.certificate_kinds)
}

# METADATA
# description: Whether a certificate was neither suspended nor withdrawn at any moment from one instant to another.
uninterrupted(certificate, start, end) if {
	is_array(certificate.interruptions)
	every gap in certificate.interruptions { apart(gap, start, end) }
}

# METADATA
# description: Whether a time ended before a gap began, or began when it was over.
apart(gap, _, end) if before(end, gap.from)

apart(gap, start, _) if not_after(gap.to, start)

# METADATA
# description: Whether a certificate or delegation covers a region by the leading digits of its code.
covers(paper, region) if {
	some prefix in paper.regions
	stated(prefix)
	startswith(region, prefix)
}
